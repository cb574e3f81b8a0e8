"""What is told of a call afterwards, where the owner wants it: Telnyx's call report, and a timeline to debug with."""
