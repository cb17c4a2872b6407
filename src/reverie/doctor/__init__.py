"""The doctor: finds why a run is bad. An examination is a file."""
