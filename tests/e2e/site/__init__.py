"""What a site has before it deploys: a cluster, an S3 store, a Kafka, a management API, Secrets."""
