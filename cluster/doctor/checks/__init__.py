"""The checks that concern the cluster and its machines, one file each."""
