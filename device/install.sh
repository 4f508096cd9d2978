#!/bin/sh
# Installs emopi as a service, and keeps it up to date; see usage() and firmware_notes/install.md.
#
# Below /opt/emopi every version has a folder of its own, which is never changed once its file
# "complete" is there; the link "current" says which one runs, and changes in one step. So
# whatever happens on the way, a whole version runs: the former one, or the new one after it has
# proved that it works.

set -eu
umask 022
export LC_ALL=C

PYTHON=/usr/bin/python3 # not another one of the person's: Debian's PyAudio is for this one
UNIT=emopi.service
FORMAT=1              # of the manifest
NEEDED_MB=400         # by an installation from a checkout
READY_S=200           # more than a service may take to start
EXTRAS='live,mqtt,web,gpio'

usage() {
    cat <<'TEXT'
sudo ./install.sh [--root DIR]                install or update emopi, from the folder of this script
sudo ./install.sh --rollback [--root DIR]     go back to the version before
sudo ./install.sh --uninstall [--keep-data] [--root DIR]
                                              remove all that was installed; --keep-data leaves
                                              /etc/emopi and /var/lib/emopi

From an unpacked bundle (emopi bundle) no network is used. From a checkout, apt and pip fetch what
is needed. --root is for a system that does not run, mounted at DIR, with the same Python and
processor as this one; packages of Debian are left to you then.

Once installed it is at /opt/emopi/current/install.sh, for --rollback and --uninstall.
Exit status: 0, 1 if it could not be done (then all is as before), 2 for wrong usage.
TEXT
}

say() { printf 'install.sh: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

main() {
    action=install root='' keep_data=no kind=none
    while [ $# -gt 0 ]; do
        case $1 in
        --uninstall) action=uninstall ;;
        --rollback) action=rollback ;;
        --keep-data) keep_data=yes ;;
        --root)
            [ $# -gt 1 ] || wrong_usage '--root needs a folder'
            shift
            [ -d "$1" ] || wrong_usage "--root $1: no such folder"
            root=$(cd -- "$1" && pwd -P)
            [ "$root" != / ] || root=''
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) wrong_usage "unknown option $1" ;;
        esac
        shift
    done
    [ "$keep_data" = no ] || [ $action = uninstall ] || wrong_usage '--keep-data is for --uninstall'
    [ "$(id -u)" = 0 ] || die "you are not root; run: sudo $0"

    base=$root/opt/emopi
    is_live=no
    phase='' release='' is_new=no former=''
    check_system
    lock
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM HUP
    had_data=no
    [ ! -e "$root/etc/emopi" ] && [ ! -e "$root/var/lib/emopi" ] || had_data=yes
    [ $action = uninstall ] || go_back_from_interruption
    $action
    phase=''
}

wrong_usage() {
    say "$1"
    usage >&2
    exit 2
}

# ---------------------------------------------------------------- what must be so

check_system() {
    for program in systemctl systemd-sysusers dpkg flock sha256sum; do
        command -v $program >/dev/null ||
            die "$program is not here; expected Raspberry Pi OS, or another Debian with systemd"
    done
    [ -x $PYTHON ] || die "$PYTHON is not here; run: sudo apt install python3"
    if [ -z "$root" ]; then
        [ -d /run/systemd/system ] ||
            die "systemd does not run here; give --root DIR for a system that is mounted"
        # while the system still starts, a service cannot: it is enabled, and starts with the rest
        ! systemctl --quiet is-active basic.target || is_live=yes
    fi
}

lock() {
    mkdir -p "$root/opt"
    exec 9<"$root/opt"
    # what an interrupted one has started may still be at work
    flock --timeout 60 9 || die "another install.sh is at work; wait until it has ended"
}

find_source() {
    script=$(readlink -f -- "$0")
    here=$(dirname -- "$script")
    if [ -f "$here/manifest.json" ]; then
        check_bundle
    elif [ -f "$here/../setup.cfg" ] && [ -d "$here/../models" ]; then
        check_checkout
    else
        die "$here is neither an unpacked bundle (no manifest.json) nor a checkout of emopi;" \
            "unpack it whole: tar -xf emopi-VERSION-TARGET.tar.gz"
    fi
    check_space
}

check_bundle() {
    kind=bundle
    say "checking $here"
    [ -s "$here/SHA256SUMS" ] || incomplete "SHA256SUMS is missing"
    wrong=$(cd -- "$here" && sha256sum --check --quiet SHA256SUMS 2>&1) ||
        incomplete "$(echo "$wrong" | head -n 5)"
    facts=$($PYTHON -I -c '
import json, re, sys
found = json.load(open(sys.argv[1]))
keys = "format version target architecture python installed_mb".split()
words = [str(found[key]) for key in keys] + [str(len(found["files"]))]
assert all(re.fullmatch(r"[A-Za-z0-9.+_-]+", word) for word in words), words
print(*words)
' "$here/manifest.json") || incomplete "manifest.json is not one of emopi bundle"
    read -r format version target architecture python needed_mb files <<TEXT
$facts
TEXT
    [ "$format" = $FORMAT ] ||
        die "the bundle has format $format, and this install.sh expects $FORMAT: they are not one"
    [ "$(wc -l <"$here/SHA256SUMS")" -eq $((files + 1)) ] || incomplete "SHA256SUMS is cut off"
    is=$(dpkg --print-architecture)
    [ "$is" = "$architecture" ] ||
        die "this bundle is for $target ($architecture) and the system here is $is;" \
            "make one for it: emopi bundle --target NAME"
    is=$($PYTHON -I -c 'import sys; print(*sys.version_info[:2], sep=".")')
    [ "$is" = "$python" ] ||
        die "this bundle is for $target with Python $python, and $PYTHON is Python $is;" \
            "make one for this release of the system: emopi bundle --target NAME"
    digest=$(sha256sum <"$here/SHA256SUMS" | cut -c 1-12)
}

incomplete() {
    die "this bundle is damaged or was copied in part: $1
install.sh: nothing has been changed; copy and unpack it again"
}

check_checkout() {
    kind=checkout
    here=$(readlink -f -- "$here/..")
    needed_mb=$NEEDED_MB
    version=$(sed -n 's/^version = //p' "$here/setup.cfg")
    [ -n "$version" ] || die "$here/setup.cfg says no version; get the checkout anew"
    is=$($PYTHON -I -c 'import sys; print(*sys.version_info[:2], sep=".")')
    case $is in
    [012].* | 3.[0-9] | 3.10)
        die "Python is $is; emopi needs 3.11 or newer: Raspberry Pi OS Bookworm or Trixie"
        ;;
    3.11) ;;
    *)
        [ "$(dpkg --print-architecture)" != armhf ] ||
            die "there is no TFLite interpreter for Python $is on 32-bit ARM; take the 64-bit" \
                "Raspberry Pi OS, or 32-bit Bookworm"
        ;;
    esac
    # shellcheck disable=SC2086 # several words
    digest=$(cd -- "$here" && find $PARTS -type f ! -path '*/__pycache__/*' -print0 |
        sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-12)
}

PARTS='device train convert models setup.cfg pyproject.toml README.md LICENSE'

check_space() {
    folder=$base
    while [ ! -d "$folder" ]; do folder=$(dirname -- "$folder"); done
    free_mb=$(($(df -Pk -- "$folder" | awk 'NR == 2 { print $4 }') / 1024))
    # compiled Python, and room to breathe
    [ "$free_mb" -ge $((needed_mb * 5 / 4 + 50)) ] ||
        die "$folder has $free_mb MB left and $((needed_mb * 5 / 4 + 50)) MB are needed;" \
            "make room (sudo apt clean; df -h), then run it again"
}

# ---------------------------------------------------------------- install

install() {
    find_source
    former=$(current)
    say "emopi $version (${target:-$here})${former:+; so far: $former}"
    add_packages
    choose_release
    [ $is_new = no ] || build_release
    test_release
    if [ "$former" = "$(basename -- "$release")" ]; then
        refresh
    else
        switch_to "$(basename -- "$release")" || fell_back "$former"
        remember_previous "$former"
        tidy
    fi
    phase=''
    advise
}

# Debian's packages: of a bundle those that are not here at all, so that none of the system's own
# is exchanged.
add_packages() {
    [ -z "$root" ] || return 0
    absent=''
    if [ "$kind" = bundle ]; then
        for package in "$here"/packages/*.deb; do
            [ -f "$package" ] || continue
            name=$(dpkg-deb --field "$package" Package)
            is_installed "$name" || absent="$absent $name"
        done
    else
        for name in python3-venv python3-pyaudio; do
            is_installed $name || absent="$absent $name"
        done
        [ -z "$absent" ] || look_up
    fi
    [ -n "$absent" ] || return 0
    # shellcheck disable=SC2086 # several words
    say "installing of Debian:" $absent
    mkdir -p "$base"
    phase=packages
    # first the note, so that what an interruption leaves behind is known
    # shellcheck disable=SC2086 # several words
    { cat "$base/packages" 2>/dev/null || :; printf '%s\n' $absent; } | sort -u >"$base/packages.new"
    mv "$base/packages.new" "$base/packages"
    # of an installation that was interrupted
    [ -z "$(ls /var/lib/dpkg/updates)" ] || dpkg --configure -a >&2 || die "dpkg fails; see above"
    if [ "$kind" = bundle ]; then
        set --
        for name in $absent; do
            for package in "$here"/packages/"${name}"_*.deb; do set -- "$@" "$package"; done
        done
        apt_get install "$@"
    else
        # shellcheck disable=SC2086 # several words
        apt_get install $absent
    fi
}

# Puts what they need into absent, too, so that all of it can be removed one day.
look_up() {
    apt_get update
    # shellcheck disable=SC2086 # several words
    apt_get --simulate install $absent
    # Inst libportaudio2 (19.6.0-1.2 Debian:12/stable [arm64]); of one that is here: Inst NAME [OLD]
    absent=$(echo "$told" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | tr '\n' ' ')
}

is_installed() {
    [ "$(dpkg-query --show --showformat '${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]
}

apt_get() {
    told=$(DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes --no-remove \
        --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" 2>&1) ||
        die "apt-get $1 failed: $(echo "$told" | tail -n 8)"
}

# Sets release, and is_new if it has to be built.
choose_release() {
    release=$base/releases/$version
    is_new=no
    [ "$(cat "$release/complete" 2>/dev/null)" != "$digest" ] || return 0
    # of the same version, but not the same
    [ ! -f "$release/complete" ] || release=$base/releases/$version-$digest
    [ -f "$release/complete" ] || is_new=yes
}

build_release() {
    phase=building
    rm -rf -- "$release"
    mkdir -p "$release/models"
    say "building $release"
    if [ "$kind" = bundle ]; then
        from_wheels
    else
        from_checkout
    fi
    cp -- "$script" "$release/install.sh"
    # what the settings may name: models of the version before, and of this one
    [ ! -d "$base/current/models" ] || cp -R -- "$base/current/models/." "$release/models/"
    [ "$kind" != bundle ] || [ ! -d "$here/models" ] || cp -R -- "$here/models/." "$release/models/"
    package=$(in_release 'from importlib.resources import files; print(files("emopi.models"))')
    cp -- "$package/example.wav" "$release/example.wav"
    [ -z "$root" ] || seen_from_inside
    sync
    echo "$digest" >"$release/complete.new"
    mv "$release/complete.new" "$release/complete"
    phase=built
}

from_wheels() {
    $PYTHON -I -m venv --without-pip --system-site-packages "$release/venv"
    for pip in "$here"/wheels/pip-*.whl; do :; done
    # all that is needed is here, in versions that fit: pip has nothing to find out
    "$release/venv/bin/python" "$pip/pip" --isolated --quiet --disable-pip-version-check \
        install --no-index --no-deps --no-cache-dir --root-user-action=ignore \
        "$here"/wheels/*.whl >&2 || die "the wheels cannot be installed; see above"
}

from_checkout() {
    $PYTHON -I -m venv --system-site-packages "$release/venv"
    mkdir "$release/source"
    # a copy, since setuptools leaves files of root's in the folder that it builds
    # shellcheck disable=SC2086 # several words
    (cd -- "$here" && cp -R -- $PARTS "$release/source")
    (cd / && "$release/venv/bin/pip" --quiet --disable-pip-version-check install --no-cache-dir \
        --root-user-action=ignore "$release/source[$EXTRAS]" >&2) ||
        die "pip cannot install it; see above, and whether the network works"
    rm -rf -- "$release/source"
}

# Paths of a mounted system, as it will see them.
seen_from_inside() {
    for file in "$release"/venv/bin/* "$release/venv/pyvenv.cfg"; do
        [ -L "$file" ] || sed -i "s|$root/|/|g" "$file"
    done
}

in_release() { "$release/venv/bin/python" -I -c "$1"; }

# Whether it works at all, before anything is changed that runs.
test_release() {
    phase=testing
    say "trying it on a recording"
    told=$(emopi_of "$release" classify --json "$release/example.wav" 2>&1) ||
        die "emopi $version does not work here: $(echo "$told" | tail -n 5)"
    case $told in
    *'"label"'*) ;;
    *) die "emopi $version has no answer to a recording: $told" ;;
    esac
    settings=$root/etc/emopi/emopi.toml
    [ -f "$settings" ] || settings=$here/emopi.toml
    if [ -f "$settings" ]; then
        checked=$release/checked.toml
        # they may hold a password
        (umask 077 && sed "s|/opt/emopi/current/|$release/|g" "$settings" >"$checked")
        told=$(emopi_of "$release" config check "$checked" 2>&1) || {
            rm -f -- "$checked"
            die "emopi $version cannot use $settings: $(echo "$told" |
                sed "s|$checked|$settings|g; s|$release/|/opt/emopi/current/|g")"
        }
        rm -f -- "$checked"
    fi
    in_release 'import pyaudio' 2>/dev/null ||
        say "warning: PyAudio is not here, so no microphone can be used: sudo apt install python3-pyaudio"
}

emopi_of() {
    its=$1
    shift
    timeout 300 "$its/venv/bin/python" -I -m emopi.device.cli "$@"
}

# ---------------------------------------------------------------- switching

current() { if [ -L "$base/current" ]; then basename -- "$(readlink "$base/current")"; fi; }

link() { # NAME RELEASE
    { ln -sfn "releases/$2" "$base/$1.new" && mv -T "$base/$1.new" "$base/$1"; } ||
        die "$base/$1 cannot be changed"
}

# Lets RELEASE run; 1 if it does not, and then the one before runs again.
switch_to() {
    before=$(current)
    was_hearing=no
    [ $is_live = no ] || ! systemctl --quiet is-active $UNIT || was_hearing=yes
    # -e does not hold in here
    { echo "$before" >"$base/switching.new" && mv "$base/switching.new" "$base/switching"; } ||
        die "$base cannot be written"
    phase=switching
    say "switching to $1"
    link current "$1"
    ! serve --no-start || ! works || {
        phase=switched
        rm -f -- "$base/switching"
        return 0
    }
    go_back
    return 1
}

# The same version again: only what has changed is done.
refresh() {
    was_hearing=no
    unit=$root/etc/systemd/system/$UNIT
    before=$(cksum <"$unit" 2>/dev/null || :)
    serve --no-start || die "the service cannot be installed; see above"
    [ $is_live = yes ] || return 0
    if [ "$before" != "$(cksum <"$unit")" ] || ! systemctl --quiet is-active $UNIT; then
        works || die "the service does not start; see: journalctl -u emopi"
    else
        say "emopi $version is installed already, and runs"
    fi
}

# Unit, user, settings and command for what is current.
serve() {
    set -- "$@" ${root:+--root "$root"}
    [ "$kind" != bundle ] || [ ! -f "$here/emopi.toml" ] || set -- "$@" --settings "$here/emopi.toml"
    emopi_of "$base/current" install-service "$@" || return 1
    mkdir -p "$root/usr/local/bin"
    # which may be seen as one that leads nowhere, of a mounted system
    [ -e "$root/usr/local/bin/emopi" ] || [ -L "$root/usr/local/bin/emopi" ] ||
        ln -s /opt/emopi/current/venv/bin/emopi "$root/usr/local/bin/emopi"
}

# Whether the service hears; without a microphone, whether it would.
works() {
    has_microphone=yes
    [ $is_live = yes ] || return 0
    [ -n "$former" ] || examine
    say "starting the service"
    ! start || return 0
    has_microphone=no
    # a version that hears nothing where the one before does is no good
    [ "$was_hearing" = no ] || return 1
    say "it does not hear a microphone; trying it on a recording"
    dropin=/run/systemd/system/$UNIT.d
    mkdir -p $dropin
    cat >$dropin/recording.conf <<TEXT
[Service]
ExecStart=
ExecStart=/opt/emopi/current/venv/bin/python -I -m emopi.device.cli listen --quiet \\
    --config /etc/emopi/emopi.toml --source /opt/emopi/current/example.wav
TEXT
    systemctl daemon-reload
    result=0
    start || result=1
    systemctl stop $UNIT 2>/dev/null || :
    rm -rf $dropin
    systemctl daemon-reload
    [ $result != 0 ] || systemctl --no-block start $UNIT
    return $result
}

start() { timeout $READY_S systemctl restart $UNIT 2>/dev/null; }

# Makes current again what was so before the switch, which may be nothing.
go_back() {
    before=$(cat "$base/switching")
    [ $is_live = no ] || why=$(journalctl --quiet -u emopi -n 6 -o cat --no-pager 2>/dev/null || :)
    [ -z "${why:-}" ] || say "what the service said last:
$why"
    if [ -n "$before" ]; then
        link current "$before"
        serve --no-start || :
        [ $is_live = no ] || start || systemctl --no-block start $UNIT || :
    else
        remove_service
        rm -f -- "$base/current"
    fi
    rm -f -- "$base/switching"
    phase=testing
}

fell_back() { # FORMER
    [ -n "$1" ] || die "the service of emopi $version does not work here"
    die "the service of emopi $version does not work here; $1 runs again"
}

# After a power cut or kill -9 between the switch and its proof.
go_back_from_interruption() {
    [ -f "$base/switching" ] || return 0
    say "an earlier installation was interrupted; first back to how it was"
    go_back
    phase=''
}

remember_previous() { # RELEASE
    if [ -n "$1" ] && [ -d "$base/releases/$1" ]; then link previous "$1"; fi
}

# Only what runs, and what it can go back to, is kept.
tidy() {
    for one in "$base"/releases/*; do
        case $(basename -- "$one") in
        "$(current)" | "$(basename -- "$(readlink "$base/previous" || echo /)")") ;;
        *) rm -rf -- "$one" ;;
        esac
    done
}

# At every exit: what was begun and not finished is undone.
finish() {
    status=$?
    trap '' PIPE
    trap - EXIT INT TERM HUP
    set +e
    [ "$phase" != switching ] || go_back
    case $phase in
    building | built | testing)
        [ $is_new = no ] || rm -rf -- "$release"
        ;;
    esac
    # a first installation that failed leaves nothing but what was there before
    if [ -n "$phase" ] && [ $status != 0 ] && [ -z "$(current)" ]; then
        keep_data=$had_data
        uninstall
    fi
    exit $status
}

# ---------------------------------------------------------------- other actions

rollback() {
    [ -L "$base/previous" ] || die "there is no version before this one to go back to"
    to=$(basename -- "$(readlink "$base/previous")")
    from=$(current)
    former=$from version=$to release=$base/releases/$to here=$release
    [ -f "$release/complete" ] || die "$release is not complete; install it anew"
    test_release
    switch_to "$to" || fell_back "$from"
    remember_previous "$from"
    say "$to runs; the same command goes on to $from again"
}

uninstall() {
    phase=''
    say "removing emopi"
    remove_service
    if [ -f "$base/packages" ]; then remove_packages "$(cat "$base/packages")"; fi
    rm -rf -- "$base"
    rm -f -- "$root/usr/local/bin/emopi"
    if [ $keep_data = yes ]; then
        say "kept: /etc/emopi, /var/lib/emopi and the user emopi, whose they are"
        return
    fi
    rm -rf -- "$root/etc/emopi" "$root/var/lib/emopi"
    for kind in user:passwd group:group; do # a group goes with its user, or not: login.defs
        ! grep -q '^emopi:' "$root/etc/${kind#*:}" 2>/dev/null ||
            "${kind%:*}del" ${root:+--prefix "$root"} emopi 2>/dev/null ||
            say "the ${kind%:*} emopi could not be removed"
    done
    say "nothing of emopi is left"
}

remove_service() {
    if [ -x "$base/current/venv/bin/python" ]; then
        emopi_of "$base/current" install-service --uninstall ${root:+--root "$root"} 2>/dev/null || :
    fi
    # what is left where the version does not work
    if [ -f "$root/etc/systemd/system/$UNIT" ]; then
        systemctl --quiet ${root:+--root="$root"} disable $UNIT 2>/dev/null || :
        [ -n "$root" ] || systemctl --quiet stop $UNIT 2>/dev/null || :
        rm -f -- "$root/etc/systemd/system/$UNIT" "$root/etc/sysusers.d/emopi.conf"
    fi
    rm -f -- "$root/etc/sysusers.d/emopi.conf"
    rmdir "$root/etc/sysusers.d" 2>/dev/null || :
    if [ -z "$root" ]; then
        rm -rf /run/systemd/system/$UNIT.d
        systemctl daemon-reload
        systemctl reset-failed $UNIT 2>/dev/null || :
    fi
}

# Those that nothing else needs by now.
remove_packages() { # NAMES
    [ -z "$root" ] || return 0
    # shellcheck disable=SC2086 # several words
    set -- $1
    for name; do
        shift
        ! dpkg-query --status "$name" >/dev/null 2>&1 || set -- "$@" "$name"
    done
    [ $# -gt 0 ] || return 0
    say "removing of Debian: $*"
    told=$(DEBIAN_FRONTEND=noninteractive dpkg --purge "$@" 2>&1) ||
        say "some stay, since other packages need them: $(echo "$told" | grep '^dpkg: error' || :)"
}

# What to do next.
advise() {
    if [ $is_live = no ]; then
        say "installed: $version. It listens from the next start of that system on"
        return
    fi
    if [ "${has_microphone:-yes}" = no ]; then
        [ -z "$former" ] || examine
        say "installed: $version, but it does not hear anything yet. Mend what the doctor calls a" \
            "problem above; the service tries again every few seconds: systemctl status emopi"
        return
    fi
    say "$(systemctl show --property StatusText --value $UNIT)"
    if grep -q '^\[sinks\.' /etc/emopi/emopi.toml; then
        say "installed: $version, and it listens. See it at work: journalctl -fu emopi"
    else
        say "installed: $version, and it listens. What it decides goes nowhere until" \
            "/etc/emopi/emopi.toml has a [sinks.NAME]; then: sudo systemctl reload emopi"
    fi
}

# Lets the doctor speak, as the service's own user, who sees what the service sees.
examine() {
    systemctl stop $UNIT 2>/dev/null || : # or it would have the microphone
    runuser -u emopi -- /opt/emopi/current/venv/bin/python -I -m emopi.device.cli doctor \
        --config /etc/emopi/emopi.toml >&2 || :
    [ -z "$former" ] || systemctl --no-block start $UNIT
}

main "$@"
