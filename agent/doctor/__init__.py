"""What `callpoint doctor` looks at: each check gives findings, on files below a root that tests replace."""
