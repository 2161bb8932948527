#!/usr/bin/env bash
# dss.sh [--trust PEM]... [--at INSTANT] [--detached FILE]... [--over DATA FILE]... FILE...
# Asks DSS, the validator of the European Commission, about FILEs; see DssCheck.java for what is printed.
# Fetches it from Maven Central once (20 MB), into $PLI_CACHE or ~/.cache/pli. Exit code 77: not to be had here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${PLI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pli}/dss-6.4
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/ready" ]; then
  { command -v mvn && command -v javac; } >/dev/null || { echo "dss.sh: needs mvn and a JDK" >&2; exit 77; }
  mvn -B -q -f "$here/dss-pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$cache/libs" >&2 || { echo "dss.sh: Maven Central did not give DSS" >&2; exit 77; }
  touch "$cache/ready"
fi
if [ "$here/DssCheck.java" -nt "$cache/DssCheck.class" ]; then
  javac -d "$cache" -cp "$cache/libs/*" "$here/DssCheck.java" >&2
fi
flock -u 9
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$cache:$cache/libs/*" DssCheck "$@"
