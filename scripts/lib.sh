# What run and test share: a clear word for each step, the machine's packages, the toolchain, the build folder.
# Sourced, never run. Needs bash.

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# install_packages PACKAGE…: installs those that are missing, as root or with sudo; says which, and why it cannot.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "These Debian packages are missing, and there is no sudo to install them: ${missing[*]}"
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq || die "apt-get update failed: is there a network?"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get could not install: ${missing[*]}"
}

# find_swift: puts a Swift 6.3 or later on the PATH, or says where to get one.
find_swift() {
    local folder
    for folder in "" /opt/swift/usr/bin "$HOME/.local/share/swiftly/bin" /usr/libexec/swift/bin; do
        [ -z "$folder" ] || [ ! -x "$folder/swift" ] || PATH="$folder:$PATH"
        command -v swift >/dev/null && break
    done
    command -v swift >/dev/null || die "No Swift toolchain found. Herald needs Swift 6.3 or later (swift.org/install)."
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    [ "$(printf '%s\n6.3\n' "$version" | sort -V | head -n 1)" = 6.3 ] || die "Swift $version is too old: Herald needs 6.3."
}

# scratch_path NAME: where this kind of build lives. With a folder ~/.cache/herald it is there, so that the next
# clone finds its dependencies built; else it is in the checkout.
scratch_path() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/herald
    if [ -d "$cache" ] && [ -w "$cache" ]; then printf '%s/%s' "$cache" "$1"; else printf '.build-%s' "$1"; fi
}
