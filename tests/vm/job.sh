# What the machine does: the tests of /src/tests/vm/guest, with these arguments.
export CALLPOINT_HIL=1 HIL_RESULT=/job
# The source in memory, with what the host has compiled of it: Python finds and leaves its bytecode where it always does,
# so that neither the libraries nor each daemon's start are compiled anew by an emulated processor.
mkdir /run/src
(cd /src && cp -a agent hardware tests systemd config pyproject.toml /run/src)
mount --bind /run/src /src
cd /src
# A sound card's period is an interrupt. That of snd-aloop is a kernel timer, which this kernel hands to a thread of ordinary
# priority as soon as there is much network traffic: it would wait behind every program, and tens of milliseconds of sound with it.
chrt --rr --pid 20 "$(pgrep ksoftirqd/0)"
# The program runs from its source here, and asks its package for its version.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
mkdir -p "/opt/site/callpoint-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: callpoint\nVersion: %s\n' "$version" > "/opt/site/callpoint-$version.dist-info/METADATA"
exec python3 -m pytest -p no:cacheprovider --rootdir=/src tests/vm/guest "$@"
