"""The Python that README.md shows, run on results of the recipe that it shows."""
import contextlib
import io
import os
import re
import subprocess
from pathlib import Path

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def command(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


def check_python_blocks(tmp):
    before = os.getcwd()
    os.chdir(tmp)
    try:
        command(os.environ["SIMULATE"], "powerlaw", "mydata.hspy", "--pixels", "20,30", "--channels", "256",
                "--offset", "400", "--scale", "1", "--amplitude", "200", "--edge-jump", "60")
        Path("recipe.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
        command(os.environ["EELPIPE"], "run", "recipe.yaml", "--quiet")
        assert len(blocks("python")) == 2
        for code in blocks("python"):
            said, names = io.StringIO(), {}
            with contextlib.redirect_stdout(said):
                exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own text
            assert said.getvalue().strip(), "it prints nothing"
        assert names["values"].shape == names["sigma"].shape == names["flags"].shape == (20, 30)
        assert (names["sigma"] > 0).all()
    finally:
        os.chdir(before)
