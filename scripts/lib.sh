# shellcheck shell=bash
# What builds and tests need: found where it is, installed where it is missing and may be. Sourced, never run.
#
# A need that cannot be met ends the script with exit code 2 and the command that would meet it. Nothing that is
# already there is installed again or changed.

readonly postgres_minimum=15
readonly rust_minimum=1.95

if [[ -z "${HOME:-}" ]]; then
    HOME="$(getent passwd "$(id -u)" | cut -d: -f6)"
    export HOME
fi

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Whether a machine runs this: then optional tools are installed too, and the lock file is fixed.
in_ci() {
    [[ -n "${CI:-}" && "${CI}" != false && "${CI}" != 0 ]]
}

# at_least <version> <minimum>
at_least() {
    [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]
}

can_be_root() {
    [[ "$(id -u)" == 0 ]] || { has sudo && sudo -n true 2>/dev/null; }
}

as_root() {
    if [[ "$(id -u)" == 0 ]]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

apt_lists_fresh=""

# install_packages <what for> <package>...
install_packages() {
    local what="$1"
    shift
    # RUNLEVEL=1 keeps a freshly installed server from being started.
    local install=(env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@")
    if ! has apt-get; then
        fail "$what is missing. Install it with this system's package manager (on Debian: $*) and try again."
    fi
    if ! can_be_root; then
        fail "$what is missing. Run: sudo apt-get update && sudo ${install[*]}"
    fi
    say "installing $what: $*"
    if [[ -z "$apt_lists_fresh" ]]; then
        as_root apt-get update -qq </dev/null || say "apt-get update failed; trying with the lists at hand"
        apt_lists_fresh=yes
    fi
    as_root "${install[@]}" </dev/null >&2 || fail "$what could not be installed. Try by hand: ${install[*]}"
}

# need_command <command> <what for> <package>...
need_command() {
    local command="$1"
    shift
    has "$command" || install_packages "$@"
    has "$command" || fail "$1: \`$command\` is still not on the path after installing it."
}

# Prints the folder with the newest PostgreSQL programs that are new enough; nothing if there is none.
find_postgres() {
    local dir version
    {
        printf '%s\n' "${TENANTRY_PG_BIN:-}"
        if has pg_config; then pg_config --bindir; fi
        if has initdb; then dirname "$(command -v initdb)"; fi
        printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin | sort -rV
    } | while IFS= read -r dir; do
        [[ -x "$dir/initdb" && -x "$dir/postgres" && -x "$dir/pg_ctl" && -x "$dir/pg_dump" ]] || continue
        version="$("$dir/postgres" --version | grep -oE '[0-9]+' | head -n 1)"
        if ((version >= postgres_minimum)); then
            printf '%s\n' "$dir"
            cat >/dev/null
            break
        fi
    done
}

# PostgreSQL's own programs: a server is started from them where one is needed, none has to run.
need_postgres() {
    local dir
    dir="$(find_postgres)"
    if [[ -z "$dir" ]]; then
        install_packages "PostgreSQL $postgres_minimum or newer" postgresql
        dir="$(find_postgres)"
    fi
    [[ -n "$dir" ]] || fail "PostgreSQL $postgres_minimum or newer is needed. Set TENANTRY_PG_BIN to the folder with initdb and postgres."
    export TENANTRY_PG_BIN="$dir"
    export PATH="$dir:$PATH"
}

need_c_compiler() {
    if ! has cc; then
        need_command gcc "a C compiler (the TLS library has C parts)" gcc libc6-dev
    fi
}

# The version of the toolchain in use, or nothing.
rust_version() {
    if has rustc; then
        rustc --version 2>/dev/null | cut -d' ' -f2 || true
    fi
}

need_rust() {
    local version
    if ! has cargo && [[ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ]]; then
        export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    version="$(rust_version)"
    if [[ -z "$version" ]] || ! at_least "$version" "$rust_minimum"; then
        install_rust
    fi
    has rustup || return 0
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
}

install_rust() {
    if has rustup; then
        say "installing Rust $rust_minimum with rustup"
        rustup toolchain install "$rust_minimum" --profile minimal --component rustfmt --component clippy </dev/null \
            || fail "Rust $rust_minimum or newer is needed. Run: rustup toolchain install $rust_minimum"
        export RUSTUP_TOOLCHAIN="$rust_minimum"
        return
    fi
    need_command curl "curl, to fetch rustup" curl ca-certificates
    say "installing rustup and Rust $rust_minimum"
    curl --proto '=https' --tlsv1.2 -sSf --retry 3 https://sh.rustup.rs \
        | sh -s -- -y --no-modify-path --profile minimal --default-toolchain "$rust_minimum" \
            --component rustfmt --component clippy >&2 \
        || fail "Rust $rust_minimum or newer is needed, and rustup could not be fetched. Check the network, or install it from https://rustup.rs"
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
}

# The test runner; without it plain cargo test does the work.
want_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    say "installing cargo-nextest (once; takes some minutes)"
    cargo install cargo-nextest --locked </dev/null \
        || say "cargo-nextest could not be installed: the tests run under cargo test, without time limits per test"
}

# Proxies that ask Tenantry whose a request is.
need_proxies() {
    local missing=()
    PATH="$PATH:/usr/sbin" command -v nginx >/dev/null 2>&1 || missing+=(nginx-light)
    PATH="$PATH:/usr/sbin" command -v haproxy >/dev/null 2>&1 || missing+=(haproxy)
    ((${#missing[@]} == 0)) || install_packages "proxies for the contract tests" "${missing[@]}"
}

# Servers that the product speaks to beside PostgreSQL, as real ones for its tests.
need_test_servers() {
    local missing=()
    has redis-server || missing+=(redis-server)
    PATH="$PATH:/usr/sbin" command -v nats-server >/dev/null 2>&1 || missing+=(nats-server)
    has docker-registry || missing+=(docker-registry)
    ((${#missing[@]} == 0)) || install_packages "servers for the tests" "${missing[@]}"
}

# Where the databases of tests lie: in memory where there is plenty of it, since they are thousands and none outlives its test.
test_room() {
    local room=/dev/shm plenty=$((8 * 1024 * 1024)) free memory
    free="$(df --output=avail -k "$room" 2>/dev/null | tail -n 1)" || true
    memory="$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo 2>/dev/null)" || true
    if [[ -w "$room" && "${free:-0}" -gt "$plenty" && "${memory:-0}" -gt "$plenty" ]]; then
        printf '%s' "$room"
    else
        printf '%s' "${TMPDIR:-/tmp}"
    fi
}

# The parser of the linter is C, and its interface is read by libclang when it is built.
need_libclang() {
    local found
    found="$(find /usr/lib/llvm-*/lib /usr/lib /usr/lib64 /usr/local/lib -maxdepth 2 -name 'libclang*.so*' ! -name 'libclang-cpp*' 2>/dev/null | head -n 1)"
    [[ -n "$found" || -n "${LIBCLANG_PATH:-}" ]] || install_packages "libclang (the linter's SQL parser is C)" libclang-14-dev
}

# Interpreters for the clients that contract tests drive. Their tests skip, and say so, where one is missing.
want_contract_tools() {
    local missing=()
    if ! { has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }; then
        missing+=(python3 python3-venv)
    fi
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    ((${#missing[@]} > 0)) || return 0
    if in_ci; then
        install_packages "the interpreters of the contract tests" "${missing[@]}"
    else
        say "SKIPPED: contract tests of clients in other languages; missing: ${missing[*]}"
    fi
}
