# The process that answers has read exactly the configuration that was pushed: after a reload that failed inside, the old
# process would go on and look healthy.
systemctl is-active haproxy
wanted=$(sed -n 's/^fingerprint=//p' "$HA_DIR/control/settings")
answer=$(socat -t 5 STDIO UNIX-CONNECT:/run/haproxy/admin.sock <<<'show env CDKTF_HA_FINGERPRINT')
echo "haproxy runs ${answer#*=}, wanted $wanted"
[[ $answer == "CDKTF_HA_FINGERPRINT=$wanted" ]]
