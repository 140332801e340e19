"""What bench/run.py times against the program: the same maps by HyperSpy, as its user would write it.

usage: hyperspy_peer.py IN OUT FIT_FROM FIT_TO FROM TO
"""
import sys
import warnings

warnings.simplefilter("ignore")
import hyperspy.api as hs  # noqa: E402

source, target = sys.argv[1:3]
fit_from, fit_to, start, end = map(float, sys.argv[3:7])
hs.preferences.General.show_progressbar = False
image = hs.load(source, signal_type="EELS")
net = image.remove_background(signal_range=(fit_from, fit_to), background_type="PowerLaw", fast=True)
net.isig[start:end].integrate1D(-1).save(target, overwrite=True)
