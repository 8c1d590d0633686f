package listener
