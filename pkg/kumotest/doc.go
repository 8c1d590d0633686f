package kumotest
