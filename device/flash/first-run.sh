#!/bin/sh
# Runs once, as root, before anything else of the first boot: cmdline.txt says so. Then systemd
# reboots. A step that fails is told and does not stop the others: a Pi that can be reached is worth
# more than one that is right.
set -u
boot=${boot:-/boot/firmware}
exec >"$boot/emopi-first-run.log" 2>&1

run() {
    echo "emopi: $1"
    "$@" || echo "emopi: failed, status $?: $1"
}

# Raspberry Pi Imager's own script; ours overrides what it sets.
run_imagers_script() {
    if [ -f "$boot/firstrun.sh" ]; then
        bash "$boot/firstrun.sh"
        rm -f "$boot/firstrun.sh"
    fi
}

set_hostname() {
    printf '%s\n' "$hostname" >/etc/hostname
    sed -i '/^127\.0\.1\.1[[:space:]]/d' /etc/hosts
    printf '127.0.1.1\t%s\n' "$hostname" >>/etc/hosts
}

# userconf also ends the question for a first user, which Raspberry Pi OS would ask.
set_user() {
    if [ -x /usr/lib/userconf-pi/userconf ]; then
        /usr/lib/userconf-pi/userconf "$user" "$password_hash"
        return
    fi
    first=$(getent passwd 1000 | cut -d: -f1)
    if [ -z "$first" ]; then
        useradd --uid 1000 --user-group --create-home --shell /bin/bash "$user"
    elif [ "$first" != "$user" ]; then
        usermod --login "$user" "$first"
        usermod --move-home --home "/home/$user" "$user"
        groupmod --new-name "$user" "$(getent group 1000 | cut -d: -f1)"
    fi
    if [ -n "$password_hash" ]; then
        printf '%s:%s\n' "$user" "$password_hash" | chpasswd -e
    else
        printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$user" >/etc/sudoers.d/010_emopi-nopasswd
        chmod 440 /etc/sudoers.d/010_emopi-nopasswd
    fi
    for group in $groups; do
        if getent group "$group" >/dev/null; then
            usermod --append --groups "$group" "$user"
        fi
    done
}

allow_ssh() {
    passwords=yes
    if [ -n "$ssh_keys" ]; then
        passwords=no
        home=$(getent passwd "$user" | cut -d: -f6)
        install -d -m 700 "$home/.ssh"
        printf '%s\n' "$ssh_keys" >"$home/.ssh/authorized_keys"
        chmod 600 "$home/.ssh/authorized_keys"
        chown -R "$user:" "$home/.ssh"
    fi
    printf 'PasswordAuthentication %s\n' "$passwords" >/etc/ssh/sshd_config.d/50-emopi.conf
    systemctl enable ssh.service
}

# NetworkManager ignores a file that others may read.
set_wifi() {
    folder=/etc/NetworkManager/system-connections
    mkdir -p "$folder"
    (
        umask 077
        {
            printf '[connection]\nid=emopi\ntype=wifi\n'
            printf '[wifi]\nmode=infrastructure\nssid=%s\nhidden=%s\n' "$ssid" "$hidden"
            if [ -n "$psk" ]; then
                printf '[wifi-security]\nkey-mgmt=wpa-psk\npsk=%s\n' "$psk"
            fi
            printf '[ipv4]\nmethod=auto\n[ipv6]\nmethod=auto\n'
        } >"$folder/emopi.nmconnection"
    )
}

set_country() {
    if command -v raspi-config >/dev/null; then
        raspi-config nonint do_wifi_country "$country"
    fi
    for switch in /var/lib/systemd/rfkill/*:wlan; do
        if [ -f "$switch" ]; then
            echo 0 >"$switch"
        fi
    done
    rfkill unblock wifi
}

set_timezone() {
    ln -sf "/usr/share/zoneinfo/$timezone" /etc/localtime
    printf '%s\n' "$timezone" >/etc/timezone
}

set_locale() {
    printf '%s UTF-8\n' "$locale" >>/etc/locale.gen
    locale-gen
    update-locale "LANG=$locale"
}

set_keyboard() {
    printf 'XKBMODEL="pc105"\nXKBLAYOUT="%s"\nXKBVARIANT=""\nXKBOPTIONS=""\nBACKSPACE="guess"\n' \
        "$keyboard" >/etc/default/keyboard
}

prepare_installation() {
    install -m 644 "$boot/emopi/emopi-first-boot.service" /etc/systemd/system/
    systemctl enable emopi-first-boot.service
}

# The secrets go with this script.
never_again() {
    sed -i 's| systemd\.run[^ ]*||g; s| systemd\.unit=[^ ]*||g' "$boot/cmdline.txt"
    rm -f "$boot/emopi/first-run.sh"
    sync
}

main() {
    run run_imagers_script
    if [ -n "$hostname" ]; then run set_hostname; fi
    if [ -n "$user" ]; then
        run set_user
        run allow_ssh
    fi
    if [ -n "$ssid" ]; then run set_wifi; fi
    if [ -n "$country" ]; then run set_country; fi
    if [ -n "$timezone" ]; then run set_timezone; fi
    if [ -n "$locale" ]; then run set_locale; fi
    if [ -n "$keyboard" ]; then run set_keyboard; fi
    run prepare_installation
    run never_again
}

main
exit 0
