#!/bin/bash
# Loads the firewall where it is new, changed, or gone: whoever flushes nftables' rules takes ours away without a word.
unit=cdktf-ha-firewall.service
systemctl is-enabled --quiet "$unit" || systemctl enable --quiet "$unit"
if ! systemctl is-active --quiet "$unit"; then
  systemctl start "$unit"
elif [[ $HA_ACTION != none ]] || ! nft list table inet cdktf_ha >/dev/null 2>&1; then
  systemctl reload "$unit"
fi
