# What the machine does: the tests of /src/tests/vm/guest, with these arguments.
cd /src
export CALLPOINT_HIL=1 HIL_RESULT=/job PYTHONPYCACHEPREFIX=/tmp/pycache
# The program runs from its source here, and asks its package for its version.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
mkdir -p "/opt/site/callpoint-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: callpoint\nVersion: %s\n' "$version" > "/opt/site/callpoint-$version.dist-info/METADATA"
exec python3 -m pytest -p no:cacheprovider --rootdir=/src tests/vm/guest "$@"
