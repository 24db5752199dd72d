# TABLES (by spaces), INTERFACE and ADDRESS stand above.
for table in $TABLES; do
  if [[ $1 == verify ]]; then
    holder=$(ec2 describe-route-tables --route-table-ids "$table" \
      --query "RouteTables[].Routes[?DestinationCidrBlock=='$ADDRESS/32'].NetworkInterfaceId")
    [[ $holder != "$INTERFACE" ]] || continue
  fi
  ec2 replace-route --route-table-id "$table" --destination-cidr-block "$ADDRESS/32" --network-interface-id "$INTERFACE" >/dev/null
  echo "route to $ADDRESS in $table leads here"
done
