# The policy of the Hello document, line by line as it is printed there; <public-slave-ip/cidr> is public-1's address.
# By default containers of one network may speak to each other. Only the balancer's host may speak to a frontend:
calicoctl profile frontend-net rule remove inbound allow from tag frontend-net
calicoctl profile frontend-net rule add inbound allow tcp from cidr 172.24.197.201/32 to ports 80
# ... and a frontend to the database only:
calicoctl profile frontend-net rule remove outbound allow
calicoctl profile frontend-net rule add outbound allow tcp to ports 6379 tag database-net
# The database answers frontends and begins nothing itself:
calicoctl profile database-net rule remove inbound allow from tag database-net
calicoctl profile database-net rule add inbound allow tcp from tag frontend-net to ports 6379
calicoctl profile database-net rule remove outbound allow
