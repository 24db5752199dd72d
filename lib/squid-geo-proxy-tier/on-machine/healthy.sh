# The process that answers has read exactly the configuration that was pushed.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/squid-functions
systemctl is-active squid.service
wanted=$(sed -n 's/^fingerprint=//p' "$HA_DIR/control/settings")
answer=$(squid_state "$(squid_port)" || true)
echo "squid runs ${answer:-nothing that answers}, wanted $wanted"
[[ $answer == "$wanted" ]]
