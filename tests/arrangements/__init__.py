"""The service among what operators put around it: poolers, replicas, balancers, and other versions of the database."""
