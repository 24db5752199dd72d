#!/usr/bin/env bash
# What tests against an emulated AWS need beside machines/: the emulator's Python environment, checkov's, and Terraform's
# AWS provider unpacked, so that any number of labs can use it at once. All are kept in $HA_MACHINES_CACHE.
#   install.sh               builds what is missing; status 3 where only the provider is not to be had
#   install.sh --emulator    prints the emulator's python, --checkov the program, --providers the provider's directory;
#                            status 1 where it is missing
# The provider comes from a file-system mirror in $HA_TERRAFORM_MIRROR (by default terraform-mirror in a directory
# `shared` beside the project), else from Terraform's registry.
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
mirror=${HA_TERRAFORM_MIRROR:-$here/../../../shared/terraform-mirror}
version=5.100.0
key_of() { sha256sum "$1" | cut -c1-12; }
emulator=$cache/aws-emulator-$(key_of "$here/requirements.txt")
checkov=$cache/checkov-$(key_of "$here/checkov-requirements.txt")
providers=$cache/terraform-providers-aws-$version

fail() { echo "$0: $*" >&2; exit 1; }

case ${1:-} in
  --emulator) [[ -e $emulator/whole ]] && echo "$emulator/bin/python"; exit ;;
  --checkov) [[ -e $checkov/whole ]] && echo "$checkov/bin/checkov"; exit ;;
  --providers) [[ -d $providers ]] && echo "$providers"; exit ;;
  '') ;;
  *) fail "unknown argument $1" ;;
esac

# build_environment DIRECTORY REQUIREMENTS: an environment knows its own path and cannot be moved, so a file in it says
# that it is whole
build_environment() {
  [[ ! -e $1/whole ]] || return 0
  python3 -c 'import venv, ensurepip' 2>/dev/null || fail "python3 has no venv (Debian, Ubuntu: apt-get install python3-venv)"
  rm -rf "$1"
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" || fail "pip could not install $2"
  touch "$1/whole"
}

build_providers() {
  local part zip platform
  [[ ! -d $providers ]] || return 0
  part=$(mktemp -d "$cache/providers-XXXXXX")
  if [[ -d $mirror ]]; then
    cp -r "$mirror/." "$part"
    chmod -R u+w "$part"
  else
    echo "no mirror in $mirror: asking Terraform's registry" >&2
    mkdir "$part/configuration"
    printf 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws", version = "%s" }\n  }\n}\n' "$version" \
      >"$part/configuration/main.tf"
    TF_CLI_CONFIG_FILE=/dev/null terraform -chdir="$part/configuration" providers mirror "$part" >/dev/null ||
      {
        rm -rf "$part"
        echo "$0: the AWS provider $version is neither in $mirror nor to be had from the registry" >&2
        exit 3
      }
    rm -r "$part/configuration"
    find "$part" -name '*.json' -delete # an index speaks of archives
  fi
  # Unpacked, a mirror is used in place: terraform init makes a link, and needs no cache of its own.
  while read -r zip; do
    platform=$(basename "$zip" .zip) && platform=${platform#*_"${version}"_}
    mkdir -p "$(dirname "$zip")/$version/$platform"
    python3 -m zipfile --extract "$zip" "$(dirname "$zip")/$version/$platform"
    chmod 755 "$(dirname "$zip")/$version/$platform"/terraform-provider-*
    rm "$zip"
  done < <(find "$part" -name "*_${version}_*.zip")
  chmod 755 "$part"
  mv "$part" "$providers"
}

mkdir -p "$cache"
exec 9>"$cache/aws.lock"
flock 9 # one build at a time; a second one then finds the work done
build_environment "$emulator" "$here/requirements.txt"
build_environment "$checkov" "$here/checkov-requirements.txt"
build_providers
printf '%s\n' "$emulator" "$checkov" "$providers"
