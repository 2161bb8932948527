# shellcheck shell=bash
# What a machine needs before it can build: Debian packages and a Rust toolchain. Sourced by
# ops/test and ops/demo, which set NAME; `say`, `die` and `need_packages` come from the services.

# shellcheck source-path=SCRIPTDIR source=services/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/services/lib.sh"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# The toolchain that a machine without one gets; the same is pinned in .github/workflows.
RUST=1.95.0
# shellcheck disable=SC2034 # read by the scripts that source this file
BUILD_PACKAGES=(build-essential pkg-config libssl-dev zlib1g-dev openssl curl ca-certificates git)

# missing_packages PACKAGE...: those that dpkg does not know as installed, one a line.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      echo "$package"
  done
}

# ensure_packages PACKAGE...: one apt-get for all that is missing; nothing else is touched. Without
# apt-get (another distribution) it names them and goes on: they may be there under other names.
ensure_packages() {
  if ! command -v dpkg-query apt-get >/dev/null; then
    say "not a Debian: make sure that you have the likes of: $*"
    return
  fi
  mapfile -t WANTED < <(missing_packages "$@")
  [ ${#WANTED[@]} -eq 0 ] && return
  need_packages wanted_installed "${WANTED[@]}"
}

wanted_installed() { [ -z "$(missing_packages "${WANTED[@]}")" ]; }

# The version that the workspace asks for at least.
rust_wanted() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

# Does `cargo` run, and is it new enough?
rust_ready() {
  local found
  found=$(cargo --version 2>/dev/null | awk '{ print $2 }') && [ -n "$found" ] || return 1
  printf '%s\n%s\n' "$(rust_wanted)" "$found" | sort -V -C
}

# ensure_rust SUBCOMMAND...: a toolchain on PATH with these cargo commands, by rustup, or by apt
# where that is new enough.
ensure_rust() {
  [ -d "$HOME/.cargo/bin" ] && PATH=$HOME/.cargo/bin:$PATH
  if ! rust_ready; then
    install_rust || die "no Rust toolchain ($(rust_wanted) or newer), and none to be had from here.
Where the network allows it: curl -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain $RUST"
  fi
  local component
  for component in "$@"; do
    cargo help "$component" >/dev/null 2>&1 && continue
    rustup component add "${component/fmt/rustfmt}" >&2 || die "cargo $component is missing"
  done
  say "$(cargo --version)"
}

install_rust() {
  if command -v rustup >/dev/null; then
    say "installing Rust $RUST with rustup"
    rustup toolchain install "$RUST" --profile minimal >&2 && export RUSTUP_TOOLCHAIN=$RUST
    rust_ready && return
  fi
  say "installing Rust $RUST with rustup (into ~/.cargo and ~/.rustup)"
  rustup_init && PATH=$HOME/.cargo/bin:$PATH
  rust_ready && return
  local candidate
  candidate=$(apt-cache policy cargo 2>/dev/null | awk '/Candidate:/ { print $2 }')
  printf '%s\n%s\n' "$(rust_wanted)" "${candidate:-0}" | sort -V -C || return 1
  ensure_packages cargo rustc rustfmt rust-clippy
  rust_ready
}

# The installer that https://sh.rustup.rs would choose, checked against the digest beside it.
rustup_init() {
  local url work status=0
  url=https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init
  work=$(mktemp -d)
  local fetch=(curl --proto "=https" --tlsv1.2 -sSf --connect-timeout 20 --retry 2)
  "${fetch[@]}" -o "$work/rustup-init" "$url" &&
    [ "$("${fetch[@]}" "$url.sha256" | cut -d ' ' -f 1)" = \
      "$(sha256sum "$work/rustup-init" | cut -d ' ' -f 1)" ] &&
    chmod +x "$work/rustup-init" &&
    "$work/rustup-init" -y -q --no-modify-path --profile minimal --default-toolchain "$RUST" \
      >"$work/log" 2>&1 || status=1
  [ $status = 0 ] || cat "$work/log" >&2 2>/dev/null || true
  rm -rf "$work"
  return $status
}

# Where cargo puts what it builds.
target_dir() { echo "${CARGO_TARGET_DIR:-$ROOT/target}"; }

# ensure_space GIB: before the first build. One that runs out of room half-way fails in ways that
# nobody understands.
ensure_space() {
  [ -d "$(target_dir)" ] && return
  local free
  free=$(df -Pk "$(dirname "$(target_dir)")" | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge "$1" ] ||
    die "$free GiB free for $(target_dir), and a build takes $1: make room, or set CARGO_TARGET_DIR"
}

# seconds SINCE: whole seconds since $SECONDS was SINCE, as a person reads them.
took() {
  local s=$((SECONDS - $1))
  if [ $s -lt 60 ]; then echo "$s s"; else echo "$((s / 60)) min $((s % 60)) s"; fi
}
