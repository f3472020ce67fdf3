#include <rare/hook.h>
#include <rare/rare.h>

#include <stddef.h>

static rare_take_cb hook;
static void *hook_data;

bool rare_set_hook(rare_take_cb take, void *data)
{
    hook = take;
    hook_data = data;
    return true;
}

bool rare_is_taken(enum rare_point point)
{
    return hook != NULL && hook(hook_data, point);
}
