"""What every Mesos framework of ours needs: who leads, what is kept, the master's stream, and the life around them."""
