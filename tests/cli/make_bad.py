#!/usr/bin/env python3
"""Makes the files that stories about bad input need, all in one folder: good.hspy and what can be wrong with it."""
import os
import sys
import zlib

import h5py
import numpy as np

NY, NX, NE = 8, 9, 256
ENERGY = 400 + np.arange(NE)
COUNTS = np.random.default_rng(1).poisson(200 * (ENERGY / 480.0) ** -3 * np.ones((NY, NX, NE))).astype("f4")
FOLDER = sys.argv[1]


def path(name):
    return os.path.join(FOLDER, name + ".hspy")


def usual_axes():
    return [dict(name="y", units="nm", scale=0.5, offset=0.0, size=NY, navigate=True),
            dict(name="x", units="nm", scale=0.5, offset=0.0, size=NX, navigate=True),
            dict(name="Energy loss", units="eV", scale=1.0, offset=400.0, size=NE, navigate=False)]


def changed(which, **keys):
    """The usual axes with some keys of one of them changed; None removes a key."""
    axes = usual_axes()
    for key, value in keys.items():
        axes[which].pop(key, None)
        if value is not None:
            axes[which][key] = value
    return axes


def sized(shape):
    axes = usual_axes()
    for axis, n in zip(axes, shape):
        axis["size"] = n
    return axes


def write(name, make=None, axes=None, signal_type="EELS", version="3.1"):
    """make(group) makes the dataset `data`, unless it is the usual one."""
    with h5py.File(path(name), "w") as f:
        f.attrs["file_format"] = "HyperSpy"
        f.attrs["file_format_version"] = version
        g = f.create_group("Experiments/o")
        if make:
            make(g)
        else:
            g.create_dataset("data", data=COUNTS, chunks=(4, 4, NE), compression="gzip")
        for i, axis in enumerate(axes or usual_axes()):
            ag = g.create_group(f"axis-{i}")
            for key, value in axis.items():
                if key == "axis":
                    ag.create_dataset("axis", data=value)
                else:
                    ag.attrs[key] = value
        g.create_group("metadata/Signal").attrs["signal_type"] = signal_type
        g.create_group("metadata/General").attrs["title"] = "thing"


def data(*args, **keys):
    return lambda g: g.create_dataset("data", *args, **keys)


def empty(shape, **keys):
    return data(shape, dtype="f4", **keys)


def no_files():
    with open(path("text"), "w") as f:
        f.write("hello, this is text\n")
    with open(path("empty"), "w"):
        pass
    os.symlink("nowhere", path("dangling"))
    os.symlink("loop.hspy", path("loop"))
    os.mkfifo(path("pipe"))
    os.mkdir(path("folder"))


def wrong_axes():
    down_again = np.r_[400:528, 527:399:-1].astype("f8")
    write("scale_nan", axes=changed(2, scale=float("nan")))
    write("scale_zero", axes=changed(2, scale=0.0))
    write("scale_inf", axes=changed(2, scale=float("inf")))
    write("scale_text", axes=changed(2, scale="one"))
    write("scale_none", axes=changed(2, scale=None))
    write("scale_zero_y", axes=changed(0, scale=0.0))
    write("offset_nan", axes=changed(2, offset=float("nan")))
    write("size_other", axes=changed(2, size=99))
    write("axis_missing", axes=usual_axes()[:2])
    write("unit_nm", axes=changed(2, units="nm"))
    write("unit_odd", axes=changed(2, units="furlong"))
    write("energy_twice", axes=changed(1, units="eV", navigate=False))
    write("vector_back", axes=changed(2, axis=down_again, scale=None, offset=None))
    write("vector_nan", axes=changed(2, axis=np.full(NE, np.nan), scale=None, offset=None))
    write("vector_text", axes=changed(2, axis=np.array([b"a"] * NE), scale=None, offset=None))


def wrong_data():
    million, billions = 1 << 20, 1 << 31
    shape = (NY, NX, NE)
    write("lists", data(shape, dtype=h5py.vlen_dtype(np.float32)))
    write("texts", data(shape, dtype="S8"))
    write("records", data(shape, dtype=[("a", "f4"), ("b", "i4")]))
    write("complex", data(shape, dtype="c8"))
    write("scalar", data(data=3.0))
    write("null", data(data=h5py.Empty("f4")))
    write("no_pixels", empty((0, NX, NE)), sized((0, NX, NE)))
    write("no_channels", empty((NY, NX, 0)), sized((NY, NX, 0)))
    write("six", data(data=np.zeros((2, 2, 2, 2, 2, NE), "f4")), axes=[dict(usual_axes()[0], size=2)] * 5 + usual_axes()[2:])
    write("claims", empty((million, million, NE), chunks=(4, 4, NE)), sized((million, million, NE)))
    write("claims_more", empty((billions, billions, NE), chunks=(4, 4, NE)), sized((billions, billions, NE)))
    write("channels", empty((1, 1, 1 << 25), chunks=(1, 1, NE)), sized((1, 1, 1 << 25)))
    write("chunk_huge", empty((NY, NX, 1 << 22), chunks=(NY, NX, 1 << 22), compression="gzip"), sized((NY, NX, 1 << 22)))
    write("group", lambda g: g.create_group("data"))
    write("soft_loop", lambda g: g.__setitem__("data", h5py.SoftLink("/Experiments/o/data")))
    write("linked", lambda g: g.__setitem__("data", h5py.ExternalLink("good.hspy", "/Experiments/o/data")))
    write("external", empty(shape, external=[("/etc/passwd", 0, NY * NX * NE * 4)]))
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("nowhere.h5", "x", shape)
    write("virtual", lambda g: g.create_virtual_dataset("data", layout))
    write("map", data(data=COUNTS[:, :, 0]), [dict(a, navigate=False) for a in usual_axes()[:2]], signal_type="")
    write("old", version="1.3")
    with h5py.File(path("nothing"), "w") as f:
        f["x"] = 3


def damaged():
    with h5py.File(path("good")) as f:
        chunk = f["Experiments/o/data"].id.get_chunk_info(2)
    whole = bytearray(open(path("good"), "rb").read())
    whole[chunk.byte_offset:chunk.byte_offset + chunk.size] = b"Z" * chunk.size
    with open(path("chunk_bad"), "wb") as f:
        f.write(whole)
    # 64 MiB in one chunk: more than a small budget
    shape = (64, 1024, NE)
    write("chunk_large", empty(shape, chunks=shape, compression="gzip"), sized(shape))
    with h5py.File(path("chunk_large"), "r+") as f:
        f["Experiments/o/data"].id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(64 * 1024 * NE * 4), 1))


def short_chunks():
    """A chunk that unpacks to 16 bytes, in arrays that are decoded here and in those whose values HDF5 would convert."""
    for name, dtype, options in (("f4", "<f4", {}), ("big", ">f4", {"shuffle": True}), ("half", "<f2", {}), ("long", "<i8", {}), ("big16", ">u2", {})):
        write("short_" + name, data(data=COUNTS.astype(dtype), chunks=(4, 4, NE), compression="gzip", **options))
        with h5py.File(path("short_" + name), "r+") as f:
            f["Experiments/o/data"].id.write_direct_chunk((4, 4, 0), zlib.compress(bytes(16)))


def small():
    """Files of a few kilobytes, for damage at random places: read by our own code, and through HDF5's filters."""
    few, shape = COUNTS[:4, :4], (4, 4, NE)
    write("small_gzip", data(data=few, chunks=(2, 2, NE), compression="gzip", shuffle=True), sized(shape))
    write("small_big", data(data=few.astype(">f4"), chunks=(2, 2, NE), compression="gzip", shuffle=True, fletcher32=True), sized(shape))
    write("small_packed", data(data=few.astype("i4"), chunks=(2, 2, NE), scaleoffset=0), sized(shape))


def odd_values():
    write("v_nan", data(data=COUNTS * np.nan))
    write("v_zero", data(data=COUNTS * 0))
    write("v_negative", data(data=-COUNTS))


os.makedirs(FOLDER, exist_ok=True)
write("good")
write("two")
with h5py.File(path("two"), "r+") as both:
    both.copy("Experiments/o", "Experiments/second")
for some in (no_files, wrong_axes, wrong_data, damaged, short_chunks, small, odd_values):
    some()
