# shellcheck shell=bash
# What the client programs need, below target/clients; sourced after scripts/lib.sh, never run. Nothing is done twice: each
# part has a stamp of what it was made from.

# shellcheck disable=SC2154 # The script that sources this says where the checkout is.
sources="$root/crates/gateway/clients"
work="${CARGO_TARGET_DIR:-$root/target}/clients"
mkdir -p "$work"
work="$(cd "$work" && pwd)"

readonly npm_options=(--no-audit --no-fund --loglevel=error --fetch-retries=3)

# Which kinds of clients a list of names needs, all without one.
client_kinds() {
    local names="${1#,}" kinds=()
    [[ -z "$names" || ",$names" =~ ,libpq ]] && kinds+=(c)
    [[ -z "$names" || ",$names" =~ ,(node|postgres|drizzle|prisma) ]] && kinds+=(node)
    [[ -z "$names" || ",$names" =~ ,jdbc ]] && kinds+=(java)
    [[ -z "$names" || ",$names" =~ ,(ruby|active) ]] && kinds+=(ruby)
    [[ -z "$names" || ",$names" =~ ,(sqlx|tokio) ]] && kinds+=(rust)
    printf '%s\n' "${kinds[@]}"
}

# stamped <part> <what it was made from>: whether it is there already.
stamped() {
    [[ "$(cat "$work/$1.stamp" 2>/dev/null)" == "$2" ]]
}

stamp() {
    printf '%s' "$2" >"$work/$1.stamp"
}

need_python() {
    if ! { has python3 && python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; then
        install_packages "Python 3.11 or newer with virtual environments" python3 python3-venv
    fi
    local made_from
    made_from="$(python3 --version) $(sha256sum <"$sources/requirements.txt")"
    if ! stamped venv "$made_from"; then
        say "installing the Python clients (once)"
        python3 -m venv --clear "$work/venv" || fail "no virtual environment could be made; on Debian: apt-get install python3-venv"
        timeout 600 "$work/venv/bin/pip" install --quiet --disable-pip-version-check --retries 3 -r "$sources/requirements.txt" ||
            fail "the packages could not be installed from the Python package index"
        stamp venv "$made_from"
    fi
}

setup_node() {
    need_command node "Node.js 20 or newer" nodejs
    need_command npm "npm" npm
    mkdir -p "$work/node"
    # Modules are looked for beside the programs, so the programs go to the modules.
    cp -r "$sources/node/." "$work/node/"
    local made_from
    made_from="$(node --version) $(cat "$sources/node/package.json" "$sources/node/prisma/schema.prisma" | sha256sum)"
    if ! stamped node "$made_from"; then
        say "installing the Node clients (once; takes a minute)"
        (
            cd "$work/node" || exit 2
            rm -rf node_modules package-lock.json prisma/generated
            timeout 600 npm install --ignore-scripts "${npm_options[@]}" </dev/null || fail "the packages could not be installed with npm"
            # Generating needs none of the engines that Prisma would fetch.
            PRISMA_SCHEMA_ENGINE_BINARY=/bin/true PRISMA_HIDE_UPDATE_MESSAGE=1 CHECKPOINT_DISABLE=1 \
                node node_modules/prisma/build/index.js generate --schema prisma/schema.prisma </dev/null >generate.log 2>&1 ||
                fail "Prisma's client could not be generated: $(tail -n 5 generate.log)"
        )
        stamp node "$made_from"
    fi
}

setup_java() {
    has javac || install_packages "a Java compiler" openjdk-17-jdk-headless
    [[ -e /usr/share/java/postgresql.jar ]] || install_packages "the JDBC driver" libpostgresql-jdbc-java
    local made_from
    made_from="$(javac -version 2>&1) $(cat "$sources"/java/*.java | sha256sum)"
    if ! stamped java "$made_from"; then
        say "compiling the JDBC client"
        mkdir -p "$work/java"
        javac -Xlint:all -Werror -cp /usr/share/java/postgresql.jar -d "$work/java" "$sources"/java/*.java ||
            fail "the JDBC client does not compile"
        stamp java "$made_from"
    fi
}

setup_ruby() {
    ruby -e 'require "pg"; require "active_record"' 2>/dev/null ||
        install_packages "Ruby with ActiveRecord" ruby ruby-pg ruby-activerecord
}

setup_c() {
    need_c_compiler
    if ! { has pg_config && [[ -e "$(pg_config --includedir)/libpq-fe.h" ]]; }; then
        install_packages "libpq's headers" libpq-dev
    fi
    local made_from
    made_from="$(cc --version | head -n 1) $(sha256sum <"$sources/c/pipeline.c")"
    if ! stamped c "$made_from"; then
        say "compiling the libpq client"
        mkdir -p "$work/c"
        cc -std=c11 -O1 -g -Wall -Wextra -Werror -I"$(pg_config --includedir)" -o "$work/c/pipeline" "$sources/c/pipeline.c" \
            -L"$(pg_config --libdir)" -lpq || fail "the libpq client does not compile"
        stamp c "$made_from"
    fi
}

# A project of its own: the product's lock file does not know what its clients need.
setup_rust() {
    need_c_compiler
    need_rust
    cargo build --quiet --locked --manifest-path "$sources/rust/Cargo.toml" --target-dir "$work/rust" ||
        fail "the Rust clients could not be built"
}

# The gateway with tenants at every level; says where the program is.
setup_stand() {
    need_c_compiler
    need_rust
    (cd "$root" && cargo build --quiet --workspace --example stand) || fail "the gateway could not be built"
    # shellcheck disable=SC2034 # For the script that sources this.
    stand="$(cd "$work/.." && pwd)/debug/examples/stand"
}

# PgBouncer as Debian has it, to compare with.
setup_pgbouncer() {
    PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null 2>&1 || install_packages "PgBouncer, to compare with" pgbouncer
}
