"""Cases: opened for frauds, followed, and closed when their time is up."""
