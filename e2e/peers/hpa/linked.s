// Lets main.go declare a function without a body: its body is in another package.
