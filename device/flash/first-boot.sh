#!/bin/sh
# Installs emopi; emopi-first-boot.service runs it at every boot until it succeeds.
set -eu
boot=/boot/firmware
here=$boot/emopi
export DEBIAN_FRONTEND=noninteractive

say() {
    echo "emopi: $*"
}

# On FAT everyone on this Pi can read hashes and keys. cloud-init has its own copy, for root alone.
forget_secrets() {
    if [ -f "$boot/user-data" ]; then
        printf '#cloud-config\n# emopi flash: done, and removed\n' >"$boot/user-data"
        rm -f "$boot/network-config"
    fi
    rm -f "$boot"/*.before-emopi
}

# A Pi has no clock of its own, and nothing on the web is trusted before it is right.
wait_for_clock() {
    tries=30
    while [ "$(timedatectl show -p NTPSynchronized --value)" = no ] && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        sleep 2
    done
}

apt_install() {
    apt-get -q -o DPkg::Lock::Timeout=600 update
    apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$@"
}

install_packages() {
    wait_for_clock
    # shellcheck disable=SC2086 # several words, checked when they were written
    apt_install $packages
}

check_payload() {
    echo "$payload_sha256  $here/$payload" | sha256sum --check --quiet -
}

install_bundle() {
    check_payload
    folder=$(mktemp -d /var/tmp/emopi-XXXXXX)
    chmod 755 "$folder" # install.sh asks the service's user, too
    tar -xzf "$here/$payload" -C "$folder" --strip-components=1 --no-same-owner
    (cd "$folder" && ./install.sh)
    rm -rf "$folder"
}

# PyAudio has no wheel for Linux: it is Debian's, which the environment sees.
install_with_pip() {
    wait_for_clock
    wanted=$requirement
    if [ -n "$payload" ]; then
        check_payload
        wanted=$here/$payload
    fi
    set -- python3-venv python3-pyaudio
    case $wanted in
    *git+*) set -- "$@" git ;;
    esac
    if [ "$(dpkg --print-architecture)" = armhf ]; then
        set -- "$@" libopenblas0 libsndfile1 # piwheels' wheels need them
    fi
    apt_install "$@"
    # where install.sh would put it: a later version takes its place
    release=/opt/emopi/releases/first-boot
    python3 -m venv --system-site-packages "$release/venv"
    "$release/venv/bin/pip" install --no-cache-dir --upgrade "$wanted"
    ln -sfn releases/first-boot /opt/emopi/current
    ln -sf /opt/emopi/current/venv/bin/emopi /usr/local/bin/emopi
    /opt/emopi/current/venv/bin/python -I -m emopi.device.cli install-service
}

leave_nothing() {
    if [ -f "$boot/emopi-first-run.log" ]; then
        mv "$boot/emopi-first-run.log" /var/log/
    fi
    systemctl disable emopi-first-boot.service
    rm -rf /etc/systemd/system/emopi-first-boot.service "$here" "$boot/emopi-first-boot.log"
    sync
    say "done"
}

# Without a screen: where a card reader finds it.
tell_why() {
    status=$?
    if [ "$status" != 0 ]; then
        say "failed, status $status; tried again in a minute, five times, and at the next boot"
        journalctl --no-pager --boot --unit emopi-first-boot >"$boot/emopi-first-boot.log" || true
    fi
}

main() {
    trap tell_why EXIT
    forget_secrets
    if [ -n "$packages" ]; then
        install_packages
    fi
    if [ -n "$is_bundle" ]; then
        install_bundle
    elif [ -n "$payload$requirement" ]; then
        install_with_pip
    fi
    leave_nothing
}

main
exit
