#!/bin/bash
# What follows from this very machine: cache sizes that the code leaves to it, and the site's page under each name by which
# Squid looks for an error page. Run by the check, on files that nobody sees yet, and again by the activation.
set -euo pipefail
sizes=/etc/squid/cdktf-ha-sizes.conf
splash=/etc/squid/cdktf-ha-splash.html
pages=/etc/squid/cdktf-ha-errors
declare -A wanted
while IFS='=' read -r name value; do wanted[$name]=$value; done </etc/squid/cdktf-ha-wanted-sizes

memory_mib=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
directory=${wanted[directory]}
read -r volume_mib free_mib mount < <(df --output=size,avail,target --block-size=1M "$directory" | tail --lines=1)
most_disk_mib=$((volume_mib * 8 / 10)) # a full volume makes Squid stop

if [[ ${wanted[memory]} != auto ]] && ((wanted[memory] > memory_mib)); then
  echo "a cache of ${wanted[memory]} MiB of memory: this machine has $memory_mib MiB"
  exit 1
fi
if [[ ${wanted[disk]} != auto ]] && ((wanted[disk] > most_disk_mib)); then
  echo "a cache of ${wanted[disk]} MiB on disk: the volume of $directory has $volume_mib MiB, of which 80 % are $most_disk_mib"
  exit 1
fi

# Free space is not part of it: the cache itself uses it up.
basis="# ${wanted[memory]} ${wanted[kind]} $directory ${wanted[disk]} memory $memory_mib volume $volume_mib"
if [[ $(head --lines=1 "$sizes" 2>/dev/null) != "$basis" ]]; then
  disk_mib=${wanted[disk]}
  if [[ $disk_mib == auto && $mount == / ]]; then
    disk_mib=$((free_mib / 2 < 10240 ? free_mib / 2 : 10240)) # the root volume has other things to hold
  elif [[ $disk_mib == auto ]]; then
    disk_mib=$most_disk_mib
  fi
  {
    printf '%s\n' "$basis"
    if [[ ${wanted[memory]} == auto ]]; then
      # half of the memory, without the index of what is on disk: 14 MiB for each GiB
      cache_mib=$((memory_mib / 2 - disk_mib * 14 / 1024))
      printf 'cache_mem %s MB\n' $((cache_mib > 64 ? cache_mib : 64))
    fi
    if [[ ${wanted[disk]} == auto ]]; then
      case ${wanted[kind]} in
        aufs) printf 'cache_dir aufs %s %s 16 256\n' "$directory" "$disk_mib" ;;
        rock) printf 'cache_dir rock %s %s\n' "$directory" "$disk_mib" ;;
      esac
    fi
  } >"$sizes.new"
  chmod 644 "$sizes.new"
  mv "$sizes.new" "$sizes"
fi

rm -rf "$pages"
if [[ -e $splash ]]; then
  mkdir -m 755 "$pages"
  for page in /usr/share/squid/errors/templates/ERR_* ERR_CDKTF_HA_SITE_DOWN; do
    ln -s "$splash" "$pages/${page##*/}"
  done
fi
