namespace ModelPack;

public static partial class ErrorCodes
{
    // MP2200-2209: quantisation.
    public static readonly ErrorCode TernaryAfterTraining = new(2200, "weights that were not trained to be ternary would be made so");
    public static readonly ErrorCode RankBudget = new(2244, "a budget of parameters that no choice of ranks can meet");
    public static readonly ErrorCode RankImpossible = new(2243, "a rank that is larger than a matrix can have");
    public static readonly ErrorCode BadCandidate = new(2245, "a candidate of a search that cannot be understood");
    public static readonly ErrorCode BlocksWithoutData = new(2241, "many blocks of weights would be dropped without calibration data");
    public static readonly ErrorCode PruningMemory = new(2242, "pruning a weight needs more than the memory limit");
    public static readonly ErrorCode NotInteger = new(2240, "a model that cannot run on 8-bit integers alone");
}
