namespace ModelPack;

public static partial class ErrorCodes
{
    // MP2210-2229: calibration and the algorithms on it.
    public static readonly ErrorCode CalibrationMissing = new(2210, "a recipe needs calibration data and none were given");
    public static readonly ErrorCode CalibrationNotFinite = new(2211, "activations on the calibration data are NaN or infinite");
    public static readonly ErrorCode CalibrationShape = new(2212, "activations do not have the shape that a weight needs");
    public static readonly ErrorCode CalibrationData = new(2213, "calibration data do not fit the model, or there are none");
    public static readonly ErrorCode StatisticsDamaged = new(2214, "a file of calibration statistics is damaged or is not one");
    public static readonly ErrorCode StatisticsOfAnotherModel = new(2215, "calibration statistics do not belong to the model");
    public static readonly ErrorCode SingularMoments = new(2216, "second moments that no damping makes invertible");
    public static readonly ErrorCode AlgorithmCannotEncode = new(2217, "an algorithm that cannot choose codes of a number format");
    public static readonly ErrorCode CalibrationNeedsGraph = new(2218, "calibration of a model without a graph");
}
