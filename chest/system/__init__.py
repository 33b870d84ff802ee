"""What the operating system is asked for, in one place each: threads, forks, locks, directories, files."""
