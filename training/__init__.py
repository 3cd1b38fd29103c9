"""How vgg19-lite is made: a small network fitted and tuned to answer like the first blocks of VGG19."""
