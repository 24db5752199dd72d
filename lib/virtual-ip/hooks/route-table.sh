# TABLES (by spaces), INTERFACE and ADDRESS stand above.
for table in $TABLES; do
  replace=(replace-route --route-table-id "$table" --destination-cidr-block "$ADDRESS/32" --network-interface-id "$INTERFACE")
  if [[ $1 == try ]]; then
    may "${replace[@]}" --dry-run
    may describe-route-tables --route-table-ids "$table" --dry-run
    continue
  fi
  if [[ $1 == verify ]]; then
    holder=$(ec2 describe-route-tables --route-table-ids "$table" \
      --query "RouteTables[].Routes[?DestinationCidrBlock=='$ADDRESS/32'].NetworkInterfaceId")
    [[ $holder != "$INTERFACE" ]] || continue
  fi
  ec2 "${replace[@]}" >/dev/null
  echo "route to $ADDRESS in $table leads here"
done
