/* A disk that lies, for the control of the power cuts: preloaded, fdatasync does nothing and says that all is well. */
#include <unistd.h>

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}
