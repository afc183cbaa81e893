//! One query at a time to one version each, or a minimal explanation why not.
