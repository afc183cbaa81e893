//! IAM, IoT and accessControl documents, wildcards, variables, topic filters.
