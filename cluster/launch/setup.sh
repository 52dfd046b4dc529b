#!/bin/sh
# Makes a node of a `ray up` cluster ready: a virtual environment with the exact versions of constraints.txt, the token
# for its owner alone, and the variables Ray is started with. Called as `setup.sh STORE [gpu]`.
set -eu
here=$HOME/espalier
test -x "$HOME/venv/bin/python" || python3 -m venv "$HOME/venv"
install() { "$HOME/venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$here/constraints.txt" "$@"; }
install 'ray[default,data,train,tune,serve]==2.60.0' "$here"
test "${2:-}" != gpu || install 'tensorflow[and-cuda]==2.21.0'
chmod 700 "$HOME/.ray"
chmod 600 "$HOME/.ray/auth_token"
cat >"$HOME/espalier.env" <<END
export PATH="$HOME/venv/bin:$PATH"
export RAY_AUTH_MODE=token RAY_enable_autoscaler_v2=1
export ESPALIER_STORE="$1"
END
