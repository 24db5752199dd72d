# Every instance has found its place: MASTER or BACKUP. FAULT means this node could not take over. Where the address follows somebody else's
# choice, the place is MASTER for who is chosen, and FAULT for all others.
systemctl is-active keepalived
chosen=
if [[ -e /etc/keepalived/cdktf-ha-follows ]]; then
  read -ra command </etc/keepalived/cdktf-ha-follows
  if runuser --user=keepalived_script -- "${command[@]}"; then chosen=yes; else chosen=no; fi
fi
while read -r name; do
  state=$(cat "/run/cdktf-ha-vrrp/$name" 2>/dev/null || echo 'no state yet')
  echo "$name is $state${chosen:+, and this node is chosen: $chosen}"
  case $chosen in
    yes) [[ $state == MASTER ]] ;;
    no) [[ $state == FAULT ]] ;;
    *) [[ $state == MASTER || $state == BACKUP ]] ;;
  esac
done </etc/keepalived/cdktf-ha-instances
# This node has the rights to take the addresses over: else that would show in the night when it has to.
for claim in /usr/local/lib/cdktf-ha/vrrp-claims/*; do
  [[ ! -x $claim ]] || runuser --user=keepalived_script -- timeout 30 "$claim" try || {
    sleep 2 # a right that was just given takes up to a minute, and each question a second of a processor
    exit 1
  }
done
