#!/bin/sh
# Installs what the tests run against on Debian, as root; does nothing that was done already.
set -eu
if ! command -v apt-get >/dev/null; then
    echo "make servers knows Debian only; elsewhere install: python3-venv, make, a C compiler, Python's headers, wrk" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "make servers installs packages: run it as root" >&2
    exit 1
fi
missing=""
for package in python3-venv make gcc libc6-dev wrk strace; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "all packages are installed"
    exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing
