# ALLOCATION, INTERFACE and ADDRESS stand above.
[[ $1 != verify || $(metadata public-ipv4 || true) != "$ADDRESS" ]] || exit 0
ec2 associate-address --allocation-id "$ALLOCATION" --network-interface-id "$INTERFACE" --allow-reassociation >/dev/null
echo "elastic address $ADDRESS is here"
