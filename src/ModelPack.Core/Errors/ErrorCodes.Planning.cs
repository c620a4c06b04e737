namespace ModelPack;

public static partial class ErrorCodes
{
    // MP3000-3049: planning.
    public static readonly ErrorCode NothingToPlan = new(3001, "a model without a graph cannot be planned");
    public static readonly ErrorCode StreamNotEncoded = new(3002, "a stream of a planned weight is read before the weight was encoded");
    public static readonly ErrorCode NoAcceleratorKernel = new(3003, "no runtime executes a weight as it is stored on the accelerator that was asked for");
    public static readonly ErrorCode NoFreeSize = new(3004, "a size was given that the inputs of the model do not leave open");
}
