#!/bin/sh
# Makes .venv: sh local/setup.sh LOCK. Needs a Python 3.11 or later; installs what LOCK pins, by hash.
set -eu
lock=$1
cd "$(dirname "$0")/.."
venv=.venv

say() { printf 'vitalis: %s\n' "$*" >&2; }

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
        if recent "$name"; then
            command -v "$name"
            return
        fi
    done
    say 'no Python 3.11 or later is on the PATH; install one (Debian, Ubuntu: apt install python3 python3-venv;'
    say 'macOS: brew install python) or name it: make PYTHON=/path/to/python3 …'
    return 1
}

# Debian splits pip's installer off into python3-venv.
without_pip() {
    package="$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $package, which this Python's venv module lacks"
        if apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package" >/dev/null; then
            "$1" -m venv --clear $venv
            return
        fi
    fi
    if "$1" -m pip --version >/dev/null 2>&1; then
        "$1" -m venv --clear --without-pip $venv
        return
    fi
    say "this Python cannot make a virtual environment with pip in it; install what is missing with"
    say "    sudo apt install $package"
    return 1
}

install() {
    options='--quiet --disable-pip-version-check --no-input --require-hashes'
    if [ -x $venv/bin/pip ]; then
        $venv/bin/python -m pip install $options -r "$lock"
    else
        "$python" -m pip --python $venv/bin/python install $options -r "$lock"
    fi
}

if ! [ -x $venv/bin/python ] || ! recent $venv/bin/python; then
    python=$(find_python)
    say "making $venv with $("$python" --version)"
    if "$python" -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null; then
        "$python" -m venv --clear $venv || { rm -rf $venv; exit 1; }
    else
        without_pip "$python"
    fi
fi
python=${python:-$(find_python)}
say "installing $lock"
install

# What an editable install would leave behind, without a build step that the locks do not cover.
$venv/bin/python - <<'PYTHON'
import sysconfig
import sys
from pathlib import Path

root = Path.cwd()
paths = "".join(f"{path}\n" for path in (root, root / "gen", root / "client"))
Path(sysconfig.get_path("purelib"), "vitalis.pth").write_text(paths)
command = Path(sysconfig.get_path("scripts"), "vitalis")
command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m vitalis_client \"$@\"\n")
command.chmod(0o755)
PYTHON
