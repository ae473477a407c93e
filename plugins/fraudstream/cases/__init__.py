"""Cases: each fraud gets one, which waits for the customer's answer until its time is up."""
