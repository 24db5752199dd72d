# TABLES (by spaces), INTERFACE and ADDRESS stand above.
read -ra targets <<<"$TABLES"
here=(--destination-cidr-block "$ADDRESS/32" --network-interface-id "$INTERFACE")

# All tables at once: one after the other, each would wait for the start of the CLI before it.
each() { # COMMAND TABLES...
  local command=$1 table process processes=() status=0
  shift
  for table in "$@"; do
    "$command" "$table" &
    processes+=($!)
  done
  for process in "${processes[@]}"; do wait "$process" || status=1; done
  return "$status"
}
could() { may replace-route --route-table-id "$1" "${here[@]}" --dry-run; }
lead() { ec2 replace-route --route-table-id "$1" "${here[@]}" >/dev/null && echo "route to $ADDRESS in $1 leads here"; }

case $1 in
  try)
    each could "${targets[@]}"
    may describe-route-tables --route-table-ids "${targets[@]}" --dry-run
    exit
    ;;
  verify) # those that lead elsewhere
    route="Routes[?DestinationCidrBlock=='$ADDRESS/32'].NetworkInterfaceId | [0]"
    found=$(ec2 describe-route-tables --route-table-ids "${targets[@]}" --query "RouteTables[].[RouteTableId, $route]")
    mapfile -t targets < <(awk -v own="$INTERFACE" '$2 != own { print $1 }' <<<"$found")
    ;;
esac
each lead "${targets[@]}"
