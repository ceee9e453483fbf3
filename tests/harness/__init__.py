"""What tests start: simulators, projects on disk, daemons, command lines."""
