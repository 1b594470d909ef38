/* user.max_time_namespaces (kernel/ucount.c), in a user namespace of the row's own. */

static void set_limit(const char *number)
{
    become_privileged();
    must("limit", put("/proc/sys/user/max_time_namespaces", number, strlen(number)) > 0);
}

/* The kernel need not free at once. */
static int unshare_in_the_end(void)
{
    int result = -1;

    for (int n = 0; n < 200 && result; n++) {
        result = unshare(CLONE_NEWTIME);
        if (result)
            nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    }
    return result;
}

ROW(a_limit_of_none)
{
    set_limit("0");
    could("unshare", unshare(CLONE_NEWTIME));
    clone3_for_nothing("clone3", CLONE_NEWTIME);
    say_where();
}

ROW(a_limit_of_three)
{
    int kept[4];

    set_limit("3");
    for (int n = 0; n < 4; n++) {
        could("unshare", unshare(CLONE_NEWTIME));
        kept[n] = opened(FOR_CHILDREN);
    }
    for (int n = 0; n < 4; n++)
        close(kept[n]);
    could("freed", unshare_in_the_end());
}

ROW(a_namespace_that_is_replaced_counts_no_more)
{
    int made = 0;

    set_limit("2");
    while (made < 20 && unshare(CLONE_NEWTIME) == 0)
        made++;
    did("made", made);
}

ROW(a_limit_counts_those_of_children)
{
    pid_t child;

    set_limit("1");
    child = child_after(make_later);
    could("unshare", unshare(CLONE_NEWTIME));
    end_of(child);
    could("freed", unshare_in_the_end());
}

ROW(a_limit_counts_those_of_inner_user_namespaces)
{
    set_limit("1");
    become_privileged();
    could("unshare", unshare(CLONE_NEWTIME));
    could("unshare", unshare(CLONE_NEWTIME));
}
