#!/bin/bash
# keepalived asks this every two seconds: a haproxy that hangs is there, but does not answer.
timeout 1 socat -t 1 STDIO UNIX-CONNECT:/run/haproxy/answers.sock <<<'show info' | grep '^Uptime:' >/dev/null
