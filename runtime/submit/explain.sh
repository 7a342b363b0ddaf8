# shellcheck shell=bash disable=SC2016,SC2034  # the advice is words to type
# What the words mean with which sbatch refuses a job (Slurm 22.05 to 25.11), and what to do about it.

explain() {     # explain MESSAGE: sets sort (full, passing or lasting), cause and advice
    sort=lasting
    case ${1,,} in
        *maxsubmit* | *grpsubmit*)
            sort=full
            cause='no more of your jobs fit into the queue (the limit on submitted jobs of your account or QOS)'
            advice='Run this again when some have ended.' ;;
        *'socket timed out'* | *'unable to contact slurm controller'* | *'connection refused'* | *'connect failure'* | \
            *'zero bytes were transmitted'* | *'communication'* | *'transport endpoint'* | *'in standby mode'* | *'rpc limit'*)
            sort=passing
            cause='the controller does not answer'
            advice='See with sinfo whether it answers again.' ;;
        *'temporarily unable to accept job'* | *'temporarily unavailable'* | *'job queue full'*)
            sort=passing
            cause='the queue of the whole cluster is full'
            advice='Wait until others'"'"' jobs have ended.' ;;
        *'invalid account'*)
            cause='the account does not exist, is not yours, or may not use that partition'
            advice='Yours: sacctmgr show associations user=$USER format=account,partition,qos. Set `account` of the cluster, and compile.' ;;
        *'invalid qos'*)
            cause='the QOS does not exist or is not yours'
            advice='Yours: sacctmgr show associations user=$USER format=account,partition,qos.' ;;
        *'invalid partition'*)
            cause='this cluster has no such partition'
            advice='The ones it has: sinfo -s. Set `partition` in the `resources` of the cluster, and compile.' ;;
        *'group not permitted'* | *'access/permission denied'*)
            cause='you may not use that partition'
            advice='Who may: scontrol show partition. Set `partition` in the `resources` of the cluster, and compile.' ;;
        *'time limit is invalid'* | *'time limit'*exceed*)
            cause='the job asks for more time than its partition gives'
            advice='The limits: sinfo -o "%P %l". Set `time` in the `resources` of the cluster, and compile.' ;;
        *'generic resource'* | *'invalid gres'* | *'gpu type'* | *'tres specification'*)
            cause='this cluster has no such kind of GPU, or it is asked for in another form'
            advice='The kinds it has: sinfo -o "%P %G". Set `gpu` in the `resources`, or `gpu_request` of the cluster, and compile.' ;;
        *'memory specification can not be satisfied'* | *'memory'*exceed*)
            cause='the job asks for more memory than a node, or a CPU, has'
            advice='What nodes have: sinfo -o "%P %m %c". Set `mem` in the `resources` of the cluster, and compile.' ;;
        *'node configuration is not available'* | *'more processors requested'* | *'node count specification'*)
            cause='no node of that partition has what the job asks for: so many CPUs, so much memory, so many GPUs of that kind'
            advice='What nodes have: sinfo -o "%P %c %m %G". Change the `resources` of the cluster, and compile.' ;;
        *'invalid feature'* | *'invalid constraint'*)
            cause='no node has the feature that the job asks for'
            advice='The features: sinfo -o "%P %f".' ;;
        *'dependency problem'*)
            cause='Slurm has forgotten a job that this one waits for'
            advice='It ended just now.' ;;
        *'directive'* | *'unrecognized option'* | *'invalid option'*)
            cause='this Slurm does not know an option of the script'
            advice='Compare with sbatch --help; report it, if the script is as it was compiled.' ;;
        *munge* | *credential* | *authentication*)
            cause='this machine cannot prove to Slurm who you are (munge)'
            advice='That is for the site'"'"'s administrators; another login node may do.' ;;
        *qos* | *assoc*)
            cause='it asks for more than your account or QOS allows a job, or a user'
            advice='The limits: sacctmgr show qos format=name,maxtres,maxwall,maxsubmit; sacctmgr show associations user=$USER.' ;;
        *) cause='for a reason that is in its words alone' advice='sbatch --test-only on the script asks again.' ;;
    esac
}
sort='' cause='' advice=''
