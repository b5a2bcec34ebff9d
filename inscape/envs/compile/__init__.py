"""From a law and a kernel template to machine code, on the CPU and on CUDA."""
