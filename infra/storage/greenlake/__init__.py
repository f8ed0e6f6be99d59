"""HPE GreenLake Object Storage: buckets, policies and users of an X10000."""
