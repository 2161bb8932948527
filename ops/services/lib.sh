# shellcheck shell=bash
# What the service scripts share. Sourced, never run.
#
# Each script runs one real service below a directory of its own (DIR), as any user, without the
# system's service manager:
#   ops/services/NAME start|stop|kill|url --dir DIR [options]
# `start` is idempotent and prints the URL; `kill` is kill -9, after which `start` goes on with the
# data; `url` prints one line. Talk goes to stderr, data to stdout. DIR keeps the ports, so that
# clients keep their URL over a restart.
#
# A script sets NAME, sources this file, calls `service_args "$@"` and finds VERB, DIR, PORT and
# ARGS (what is left on the command line).

set -euo pipefail
: "${NAME:?set by the script that sources this file}"

say() { echo "$NAME: $*" >&2; }
die() { say "$*"; exit 1; }
misuse() { say "$*"; exit 2; }

# --- command line -----------------------------------------------------------------------------

# Reads VERB, --dir and --port; leaves the rest in ARGS.
service_args() {
  VERB=${1:-}; DIR=; PORT=; ARGS=()
  [ $# -gt 0 ] && shift
  while [ $# -gt 0 ]; do
    case $1 in
      --dir | --port) [ $# -ge 2 ] || misuse "$1 needs a value" ;;&
      --dir) DIR=$2; shift 2 ;;
      --port) PORT=$2; shift 2 ;;
      *) ARGS+=("$1"); shift ;;
    esac
  done
  [ -n "$VERB" ] || misuse "usage: ops/services/$NAME start|stop|kill|url --dir DIR [options]"
  [ -n "$DIR" ] || misuse "--dir DIR is missing"
  [ "$VERB" = start ] && mkdir -p "$DIR"
  if [ -d "$DIR" ]; then
    DIR=$(cd "$DIR" && pwd -P)
  fi
}

# flag_value NAME DEFAULT: the value of option NAME in ARGS.
flag_value() {
  local i
  for ((i = 0; i < ${#ARGS[@]}; i++)); do
    if [ "${ARGS[i]}" = "$1" ]; then echo "${ARGS[i + 1]:-$2}"; return; fi
  done
  echo "$2"
}

# flag NAME: is the option NAME in ARGS?
flag() { [[ " ${ARGS[*]-} " == *" $1 "* ]]; }

# One verb at a time on one DIR. Services must not inherit the lock: `spawn` closes it.
lock_dir() {
  exec 9>"$DIR/lock"
  flock -w 300 9 || die "another start or stop of $DIR does not end"
}

# --- ports ------------------------------------------------------------------------------------

port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Sets REPLY to a free port below the ephemeral range, where no outgoing connection squats on it.
TAKEN=" "
free_port() {
  while :; do
    REPLY=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    [[ $TAKEN == *" $REPLY "* ]] && continue
    port_in_use "$REPLY" && continue
    TAKEN+="$REPLY "
    return
  done
}

# choose_ports FIRST SECOND...: gives each variable a port (PORT, PORT+1... when --port was given)
# and writes them to DIR/ports, once in the life of DIR.
choose_ports() {
  local name next=$PORT
  for name in "$@"; do
    if [ -n "$next" ]; then REPLY=$next; next=$((next + 1)); else free_port; fi
    echo "$name=$REPLY"
  done >"$DIR/ports"
}

# renew_ports NAME...: another port for each that something else has taken since; only for ports
# that nobody outside the service knows.
renew_ports() {
  local name
  load_ports
  for name in "$@"; do
    port_in_use "${!name}" || continue
    say "port ${!name} ($name) was taken meanwhile: another one"
    free_port
    sed -i "s/^$name=.*/$name=$REPLY/" "$DIR/ports"
  done
  load_ports
}

load_ports() {
  [ -s "$DIR/ports" ] || die "$DIR holds no $NAME (start it first)"
  # shellcheck source=/dev/null
  . "$DIR/ports"
}

# --- processes --------------------------------------------------------------------------------

# spawn PIDFILE LOG COMMAND...: starts a daemon that no ^C of the caller reaches.
spawn() {
  local pidfile=$1 log=$2 pid
  shift 2
  PLI_SERVICE_DIR=$DIR setsid "$@" </dev/null >>"$log" 2>&1 9>&- &
  pid=$!
  disown
  echo "$pid" >"$pidfile"
  until ours "$pid" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.01; done # until its exec
}

# Does PID run, and below DIR rather than as a reused number? In the instant of its exec a process
# has no environment; a zombie, and a thread of the kernel, never has one.
ours() {
  local all state left=50
  while :; do
    { all=$(tr '\0' '\n' <"/proc/$1/environ"); } 2>/dev/null || return 1
    [[ $'\n'$all$'\n' == *$'\n'"PLI_SERVICE_DIR=$DIR"$'\n'* ]] && return 0
    state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 1
    [[ -n $all || $state == Z* || $left -eq 0 ]] && return 1
    left=$((left - 1))
    sleep 0.01
  done
}

# Is the process named in PIDFILE alive?
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && ours "$pid"
}

# signal SIGNAL PIDFILE: to a process that must be there.
signal() {
  alive "$2" || die "does not run"
  kill "-$1" "$(cat "$2")"
}

# frozen PID...: until every thread of each has stopped, or is gone. SIGSTOP only asks: on a busy
# machine a broker goes on confirming for some milliseconds after kill(1) has returned.
frozen() {
  local pid left=500
  for pid; do
    while sed 's/.*) //' "/proc/$pid/task/"*/stat 2>/dev/null | grep -q '^[RSDIKWP]'; do
      left=$((left - 1))
      [ "$left" -gt 0 ] || die "pid $pid does not stop"
      sleep 0.02
    done
  done
}

# pause PIDFILE: SIGSTOP; returns when it has taken hold.
pause() {
  signal STOP "$1"
  frozen "$(cat "$1")"
}

# signal_and_wait SIGNAL PIDFILE [SECONDS]: nothing to do when it is not alive. A process that
# outlives SECONDS (default 30) after a polite signal is killed.
signal_and_wait() {
  local signal=$1 left=$((${3:-30} * 50)) pid
  pid=$(cat "$2" 2>/dev/null) || return 0
  if [ -n "$pid" ] && ours "$pid"; then
    kill "-$signal" "$pid" 2>/dev/null || true
    while ours "$pid"; do
      left=$((left - 1))
      [ "$left" -eq 0 ] && { say "pid $pid ignores SIG$signal: SIGKILL"; kill -9 "$pid" || true; }
      sleep 0.02
    done
  fi
  rm -f "$2"
}

# wait_for_line TEXT LOG PIDFILE SECONDS: until the log says so, or the process dies.
wait_for_line() {
  local text=$1 log=$2 pidfile=$3 left=$(($4 * 20))
  until grep -qF "$text" "$log" 2>/dev/null; do
    if ! alive "$pidfile"; then tail -n 20 "$log" >&2; die "died while starting, see $log"; fi
    left=$((left - 1))
    [ "$left" -gt 0 ] || { tail -n 20 "$log" >&2; die "not up after $4 s, see $log"; }
    sleep 0.05
  done
}

# --- packages ---------------------------------------------------------------------------------

# as_root COMMAND...: as is when root, through sudo without a question otherwise.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
  else return 127
  fi
}

# need_packages PROBE PACKAGE...: installs the Debian packages unless the command PROBE succeeds.
# Their system services are neither started (policy-rc.d) nor left enabled.
need_packages() {
  local probe=$1
  shift
  $probe && return
  command -v apt-get >/dev/null || die "install $* (this script knows apt-get only)"
  say "installing $*"
  as_root bash -s -- "$@" <<'ROOT' >&2 || die "could not install: run as root: apt-get install $*"
set -eu
exec 8>/var/lock/pli-apt.lock; flock 8
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null; }
install() { apt install -y --no-install-recommends "$@" >/dev/null; }
if [ -z "$(find /var/lib/apt/lists -name '*Packages*' -mtime -1 2>/dev/null)" ]; then apt update; fi
install "$@" || { apt update; install "$@"; }
if [ -d /run/systemd/system ]; then
  for unit in rabbitmq-server postgresql; do
    case " $* " in *" $unit "*) systemctl disable "$unit" >/dev/null 2>&1 || true ;; esac
  done
fi
ROOT
  $probe || die "$* installed, and still not usable"
}

# --- certificates -----------------------------------------------------------------------------

# test_pki DIRECTORY: a CA and one server certificate for localhost and 127.0.0.1, PEM, once.
test_pki() {
  local d=$1 san=subjectAltName=DNS:localhost,IP:127.0.0.1
  [ -f "$d/server.pem" ] && return
  mkdir -p "$d"
  (umask 077 && openssl req -x509 "${EC_KEY[@]}" -days 3650 -subj /CN=test-ca \
    -keyout "$d/ca.key" -out "$d/ca.pem" 2>/dev/null)
  issue "$d" localhost "$d/server" "$san\nextendedKeyUsage=serverAuth"
  cat "$d/server.key" "$d/server.crt" "$d/ca.pem" >"$d/server.pem" # key first, as Kafka wants it
}
EC_KEY=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

# issue PKI COMMON_NAME FILE EXTENSIONS: FILE.key (PKCS#8) and FILE.crt, signed by the CA in PKI.
issue() {
  local d=$1 csr
  csr=$(umask 077 && openssl req "${EC_KEY[@]}" -subj "/CN=$2" -keyout "$3.key" 2>/dev/null)
  openssl x509 -req -CA "$d/ca.pem" -CAkey "$d/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
    -days 3650 -out "$3.crt" -extfile <(printf '%b' "$4") <<<"$csr" 2>/dev/null
}

# --- nodes that a broker knows ----------------------------------------------------------------
#
# A broker knows a node by the common name of its certificate: the id of the node, and after `renew`
# NODE.2, NODE.3: neither broker can tell two certificates of one name apart, and a name that was
# stolen must become good for nothing. An id has no dot.

# is_node NODE: a DNS label, as node ids are: it becomes part of regular expressions and of names.
is_node() {
  [[ $1 =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || misuse "'$1' is not the id of a node"
  case $1 in broker | operator | localhost) misuse "'$1' is a name of the broker's own" ;; esac
}

# issue_node PKI NODE DIRECTORY [USER]: key.pem and certificate.pem of a node, a client of the
# broker. Kept when they are there, unless a USER is named: a grant may be repeated.
issue_node() {
  local place=$3/$2
  is_node "$2"
  [ -f "$place/certificate.pem" ] && [ $# -lt 4 ] && return
  mkdir -p "$place"
  issue "$1" "${4:-$2}" "$place/new" 'extendedKeyUsage=clientAuth\nkeyUsage=critical,digitalSignature'
  mv "$place/new.key" "$place/key.pem"
  mv "$place/new.crt" "$place/certificate.pem"
  cp "$1/ca.pem" "$3/ca.pem"
}

# user_of CERTIFICATE: its common name.
user_of() {
  openssl x509 -in "$1" -noout -subject -nameopt multiline | sed -n 's/^ *commonName *= //p'
}

# next_user USER: NODE becomes NODE.2, NODE.2 becomes NODE.3.
next_user() {
  case $1 in *.*) echo "${1%.*}.$((${1##*.} + 1))" ;; *) echo "$1.2" ;; esac
}

# named_nodes: the words of ARGS that belong to no option, in NODES.
named_nodes() {
  local i
  NODES=()
  for ((i = 0; i < ${#ARGS[@]}; i++)); do
    case ${ARGS[i]} in --*) i=$((i + 1)) ;; *) NODES+=("${ARGS[i]}") ;; esac
  done
  [ ${#NODES[@]} -gt 0 ] || misuse "$VERB NODE... --dir DIR"
  for i in "${NODES[@]}"; do is_node "$i"; done
}

# note_peers NODE DIRECTORY: keeps what --to says; nothing said: as it was.
note_peers() {
  local said peer
  said=$(flag_value --to '')
  [ -n "$said" ] || return 0
  if [ "$said" = all ]; then rm -f "$2/$1/peers"; return; fi
  for peer in ${said//,/ }; do is_node "$peer"; done
  echo "${said//,/ }" >"$2/$1/peers"
}

# peers_of NODE DIRECTORY: ids with blanks between them, its own among them; nothing: everybody.
peers_of() {
  [ ! -f "$2/$1/peers" ] || echo "$1 $(cat "$2/$1/peers")"
}

# print_backbone URL CA DIRECTORY: the section of a node's configuration.
print_backbone() {
  cat <<TOML
[backbone]
url = "$1"
ca_file = "$2"
certificate = "$3/certificate.pem"
key = "$3/key.pem"
TOML
}
